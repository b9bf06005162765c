-- purpose: views and functions of an older version: those with names no longer used, of another kind, or with other parameters
-- grain:   one row per view or function; :names: all that is made now; :views of them are views, :others are not
-- reads:   pg_class, pg_proc
-- writes:  nothing
-- locks:   none
SELECT c.relname::text AS name
FROM pg_class AS c
WHERE c.relnamespace = 'headrace'::regnamespace AND c.relkind = 'v' AND (c.relname <> ALL(:names) OR c.relname = ANY(:others))
UNION ALL
SELECT p.proname::text AS name
FROM pg_proc AS p
WHERE p.pronamespace = 'headrace'::regnamespace AND p.prorettype <> 'trigger'::regtype
GROUP BY p.proname
HAVING count(*) > 1 OR p.proname <> ALL(:names) OR p.proname = ANY(:views)
