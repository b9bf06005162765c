-- purpose: the statements that drop our views and functions, except the trigger functions that capture generated
-- grain:   one row per statement, in order; they fail, naming it, if others built something upon one
-- reads:   pg_class, pg_proc
-- writes:  nothing
-- locks:   none
SELECT s.statement
FROM (
    SELECT
        1 AS step,
        'DROP VIEW ' || string_agg(c.oid::regclass::text, ', ') AS statement
    FROM pg_class AS c
    WHERE c.relnamespace = 'headrace'::regnamespace AND c.relkind = 'v'
    UNION ALL
    SELECT
        2 AS step,
        'DROP FUNCTION ' || string_agg(p.oid::regprocedure::text, ', ') AS statement
    FROM pg_proc AS p
    WHERE p.pronamespace = 'headrace'::regnamespace AND p.prorettype <> 'trigger'::regtype
) AS s
WHERE s.statement IS NOT NULL
ORDER BY s.step
