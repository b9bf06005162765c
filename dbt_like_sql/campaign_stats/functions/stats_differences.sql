-- purpose: the differences between two documents, for the record
-- grain:   an array of {template_name, counter, from, to}; template_name "*" stands for the totals
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.stats_differences(
    p_old_templates jsonb, p_old_totals jsonb, p_new_templates jsonb, p_new_totals jsonb
) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH old AS (
        SELECT t -> 'template_name' AS template, c.key, c.value FROM jsonb_array_elements(p_old_templates) t CROSS JOIN jsonb_each(t - 'template_name') c
        UNION ALL SELECT '"*"', c.key, c.value FROM jsonb_each(p_old_totals) c
    ), new AS (
        SELECT t -> 'template_name' AS template, c.key, c.value FROM jsonb_array_elements(p_new_templates) t CROSS JOIN jsonb_each(t - 'template_name') c
        UNION ALL SELECT '"*"', c.key, c.value FROM jsonb_each(p_new_totals) c
    )
    SELECT coalesce(jsonb_agg(
        jsonb_build_object('template_name', coalesce(o.template, n.template), 'counter', coalesce(o.key, n.key), 'from', o.value, 'to', n.value)
        ORDER BY coalesce(o.template, n.template), coalesce(o.key, n.key)), '[]')
    FROM old o FULL JOIN new n ON o.template = n.template AND o.key = n.key
    WHERE o.value IS DISTINCT FROM n.value AND coalesce(o.key, n.key) !~ '_rate$'
$$;
