-- purpose: template_key of a template whose md5 is known: campaign_template_stats has it, and no long name is read for it
-- grain:   one name, and its template_md5
-- reads:   nothing (inlined by the planner; bound when it is made, so that no search_path matters)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.listed_template(p_name text, p_md5 uuid) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN octet_length(p_name) > 1000 THEN substr(p_name, 1, 1000) || '...' || replace(p_md5::text, '-', '')
    ELSE p_name
END;
