-- purpose: objects of schema headrace with the wrong owner, and the statement that changes each one's owner
-- grain:   one row per object, the schema first: its name, its proper owner, the statement
-- reads:   pg_namespace, pg_class, pg_proc, pg_type, pg_depend, pg_roles
-- writes:  nothing
-- locks:   none; the statements: ACCESS EXCLUSIVE on Headrace's own tables
--
-- headrace_owner owns everything, except functions that run the application's code or see more than it may: each of these belongs to a
-- role with only that right.
WITH known AS (
    SELECT n.oid AS schema_id, n.nspowner FROM pg_namespace AS n
    WHERE n.nspname = 'headrace'
),

owned AS (
    SELECT 1 AS step, 'schema headrace' AS object, k.nspowner AS owner, 'headrace_owner' AS proper, 'ALTER SCHEMA headrace' AS alter_it
    FROM known AS k
    UNION ALL
    SELECT
        2 AS step, c.oid::regclass::text AS object, c.relowner AS owner, 'headrace_owner' AS proper,
        CASE c.relkind WHEN 'v' THEN 'ALTER VIEW ' WHEN 'S' THEN 'ALTER SEQUENCE ' WHEN 'c' THEN 'ALTER TYPE ' ELSE 'ALTER TABLE ' END
        || c.oid::regclass AS alter_it
    FROM pg_class AS c INNER JOIN known AS k ON c.relnamespace = k.schema_id
    WHERE
        c.relkind IN ('r', 'p', 'v', 'c', 'S')
        -- a column's sequence goes with its table
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
    UNION ALL
    SELECT
        3 AS step, t.oid::regtype::text AS object, t.typowner AS owner, 'headrace_owner' AS proper, 'ALTER TYPE ' || t.oid::regtype AS alter_it
    FROM pg_type AS t INNER JOIN known AS k ON t.typnamespace = k.schema_id
    WHERE t.typtype IN ('e', 'd')
    UNION ALL
    SELECT
        4 AS step, p.oid::regprocedure::text AS object, p.proowner AS owner,
        CASE
            WHEN p.proname ~ '^capture_.*_(insert|update|delete|truncate|watched)$' THEN 'headrace_capture'
            WHEN p.proname = ANY({{ inserters }}) THEN 'headrace_ingest'
            WHEN p.proname IN ('oldest_writer', 'held_up') THEN 'headrace_monitor'
            ELSE 'headrace_owner'
        END AS proper,
        'ALTER ROUTINE ' || p.oid::regprocedure AS alter_it
    FROM pg_proc AS p INNER JOIN known AS k ON p.pronamespace = k.schema_id
)

SELECT o.object, o.proper, o.alter_it || ' OWNER TO ' || o.proper AS statement
FROM owned AS o
LEFT JOIN pg_roles AS r ON o.owner = r.oid
WHERE r.rolname IS DISTINCT FROM o.proper
ORDER BY o.step, o.object
