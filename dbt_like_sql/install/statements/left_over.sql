-- purpose: whether there are views or functions of an older version: with names that are no more, of another kind, with other parameters
-- grain:   a row for each; :names: what is made now, of which :views are views and :others are not
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
