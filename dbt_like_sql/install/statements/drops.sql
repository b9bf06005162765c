-- purpose: the statements that drop schema headrace, in order and without CASCADE, so that they fail if others built something upon it
-- grain:   one row per statement; :objects, :tables, :types: the names that migrate makes
-- reads:   pg_class, pg_trigger, pg_proc, pg_type
-- writes:  nothing
-- locks:   none
SELECT s.statement
FROM (
    SELECT
        1 AS step,
        'DROP VIEW ' || string_agg(c.oid::regclass::text, ', ') AS statement
    FROM pg_class AS c
    WHERE c.relnamespace = 'headrace'::regnamespace AND c.relkind = 'v' AND c.relname = ANY(:objects)
    UNION ALL
    SELECT
        2 AS step,
        format('DROP TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass) AS statement
    FROM pg_trigger AS g
    INNER JOIN pg_class AS c ON g.tgrelid = c.oid
    INNER JOIN pg_proc AS f ON g.tgfoid = f.oid
    WHERE c.relnamespace = 'headrace'::regnamespace AND f.pronamespace = c.relnamespace AND NOT g.tgisinternal
    UNION ALL
    SELECT
        3 AS step,
        'DROP ROUTINE ' || string_agg(p.oid::regprocedure::text, ', ') AS statement
    FROM pg_proc AS p
    WHERE
        p.pronamespace = 'headrace'::regnamespace AND (
            p.proname = ANY(:objects)
            OR p.prorettype = 'trigger'::regtype AND p.proname ~ '^capture_.*_(insert|update|delete|truncate)$'
            OR p.prorettype = 'boolean'::regtype AND p.proname ~ '^capture_.*_watched$')
    UNION ALL
    SELECT
        4 AS step,
        'DROP TABLE ' || string_agg(c.oid::regclass::text, ', ') AS statement
    FROM pg_class AS c
    WHERE c.relnamespace = 'headrace'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY(:tables)
    UNION ALL
    SELECT
        5 AS step,
        'DROP TYPE ' || string_agg(t.oid::regtype::text, ', ') AS statement
    FROM pg_type AS t
    LEFT JOIN pg_class AS c ON t.typrelid = c.oid
    WHERE
        t.typnamespace = 'headrace'::regnamespace
        AND (c.relkind = 'c' AND t.typname = ANY(:objects) OR t.typtype = 'e' AND t.typname = ANY(:types))
    UNION ALL
    SELECT
        6 AS step,
        'DROP SCHEMA headrace' AS statement
) AS s
WHERE s.statement IS NOT NULL
ORDER BY s.step
