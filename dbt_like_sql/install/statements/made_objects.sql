-- purpose: what functions and views of these names say as they are now, to be compared with what they say once made anew
-- grain:   one row per name that is there: functions of one name together
-- reads:   pg_proc, pg_class
-- writes:  nothing
-- locks:   none
SELECT
    p.proname::text AS name,
    string_agg(concat_ws(' ', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.prosrc), ' ' ORDER BY p.oid::regprocedure::text) AS made
FROM pg_proc AS p
WHERE p.pronamespace = 'headrace'::regnamespace AND p.proname = ANY(:names)
GROUP BY p.proname
UNION ALL
SELECT
    c.relname::text AS name,
    pg_get_viewdef(c.oid) AS made
FROM pg_class AS c
WHERE c.relnamespace = 'headrace'::regnamespace AND c.relkind = 'v' AND c.relname = ANY(:names)
