-- purpose: campaign_template_stats.template_md5, computed from a template's key instead of its whole name
-- grain:   one result of template_key
-- reads:   nothing (inlined by the planner; names are resolved at creation, so search_path does not matter)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.template_md5(p_key text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_key IS NULL THEN '00000000-0000-0000-0000-000000000000'
    WHEN octet_length(p_key) > 1000 THEN right(p_key, 32)::uuid
    ELSE md5(p_key)::uuid
END;
