-- purpose: the name of a template as outcomes and documents have it: a long one cut, with the whole name's md5 at its end
-- grain:   one name; no two have the same key, for a whole name has at most 1,000 bytes and a cut one has more
-- reads:   nothing (inlined by the planner: no SET clause, so everything in it is qualified)
-- writes:  nothing
-- locks:   none
--
-- Names come from outside and may have megabytes: what is kept for each message, handed about in arrays and written into
-- documents must not. campaign_template_stats has the whole name, once.
CREATE OR REPLACE FUNCTION headrace.template_key(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN pg_catalog.octet_length(p_name) OPERATOR(pg_catalog.>) 1000
            THEN pg_catalog.substr(p_name, 1, 1000) OPERATOR(pg_catalog.||) '...'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.md5(p_name)
        ELSE p_name
    END
$$;
