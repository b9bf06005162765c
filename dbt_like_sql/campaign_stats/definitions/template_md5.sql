-- purpose: campaign_template_stats.template_md5 of a template's key, without its whole name
-- grain:   one result of template_key
-- reads:   nothing (inlined by the planner; bound when it is made, so that no search_path matters)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.template_md5(p_key text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_key IS NULL THEN '00000000-0000-0000-0000-000000000000'
    WHEN octet_length(p_key) > 1000 THEN right(p_key, 32)::uuid
    ELSE md5(p_key)::uuid
END;
