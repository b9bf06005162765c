-- purpose: template_key of a template of campaign_template_stats, whose md5 is stored there: it need not be computed from a long name
-- grain:   one name, and its template_md5
-- reads:   nothing (inlined by the planner; names are resolved at creation, so search_path does not matter)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.listed_template(p_name text, p_md5 uuid) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN octet_length(p_name) > 1000 THEN substr(p_name, 1, 1000) || '...' || replace(p_md5::text, '-', '')
    ELSE p_name
END;
