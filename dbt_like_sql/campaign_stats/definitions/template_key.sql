-- purpose: a template's name as outcomes and documents have it: a long name is cut and ends in the md5 of the whole
-- grain:   one name; keys are unique: an uncut name has at most 1,000 bytes, a cut one has more
-- reads:   nothing (inlined by the planner: without a SET clause, so all its names are qualified)
-- writes:  nothing
-- locks:   none
--
-- Names come from outside and may have megabytes: too much to store with each message, pass in arrays and write into documents.
-- campaign_template_stats has the whole name, once.
CREATE OR REPLACE FUNCTION headrace.template_key(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN pg_catalog.octet_length(p_name) OPERATOR(pg_catalog.>) 1000
            THEN pg_catalog.substr(p_name, 1, 1000) OPERATOR(pg_catalog.||) '...'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.md5(p_name)
        ELSE p_name
    END
$$;
