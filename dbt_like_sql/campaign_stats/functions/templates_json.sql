-- purpose: how many templates a document has and leaves out, for its totals; empty if all are listed
-- grain:   one campaign, by its number of templates
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.templates_json(p_templates bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT CASE
        WHEN p_templates > headrace.most_listed_templates()
            THEN jsonb_build_object('templates', p_templates, 'templates_left_out', p_templates - headrace.most_listed_templates())
        ELSE '{}'
    END
$$;
