-- purpose: the present text of the functions and views with these names, to be compared with their text once made again
-- grain:   one row per existing name; functions of one name together
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
