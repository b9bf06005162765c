-- purpose: the relations with these names in a schema, their parents, children and partitions
-- grain:   one row per relation; others by their SQL names. Without pg_partition_tree, which locks each partition and waits for an ALTER of it
-- reads:   pg_class, pg_namespace, pg_inherits
-- writes:  nothing
-- locks:   none
WITH RECURSIVE named AS (
    SELECT
        k.oid,
        k.relkind,
        k.relpersistence,
        k.relispartition,
        format('%I.%I', n.nspname, k.relname) AS name
    FROM pg_class AS k
    INNER JOIN pg_namespace AS n ON k.relnamespace = n.oid
    WHERE k.relkind IN ('r', 'p', 'f')
),

asked AS (
    SELECT
        c.oid,
        c.relname,
        c.relkind
    FROM pg_class AS c
    INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = ANY(:names)
),

part AS (
    SELECT
        c.oid AS root,
        c.oid
    FROM asked AS c
    UNION ALL
    SELECT
        p.root,
        i.inhrelid
    FROM part AS p
    INNER JOIN pg_inherits AS i ON p.oid = i.inhparent
    INNER JOIN named AS k ON i.inhrelid = k.oid
    WHERE k.relispartition
),

family AS (
    SELECT
        i.inhparent,
        i.inhrelid,
        p.name AS parent,
        k.name AS child,
        k.relispartition
    FROM pg_inherits AS i
    INNER JOIN named AS k ON i.inhrelid = k.oid
    LEFT JOIN named AS p ON i.inhparent = p.oid
)

SELECT
    c.relname::text AS name,
    c.relkind::text AS kind,
    (
        SELECT f.parent FROM family AS f
        WHERE f.inhrelid = c.oid AND f.relispartition AND f.parent IS NOT NULL
    ) AS partition_of,
    array(
        SELECT f.parent FROM family AS f
        WHERE f.inhrelid = c.oid AND NOT f.relispartition AND f.parent IS NOT NULL
        ORDER BY f.parent
    ) AS inherits,
    array(
        SELECT f.child FROM family AS f
        WHERE f.inhparent = c.oid AND NOT f.relispartition
        ORDER BY f.child
    ) AS children,
    array(
        SELECT k.name FROM part AS p
        INNER JOIN named AS k ON p.oid = k.oid
        WHERE p.root = c.oid AND k.relkind = 'f' AND k.oid <> c.oid
        ORDER BY k.name
    ) AS on_other_servers,
    array(
        SELECT k.name FROM part AS p
        INNER JOIN named AS k ON p.oid = k.oid
        WHERE p.root = c.oid AND k.relpersistence = 'u' AND k.relkind = 'r'
        ORDER BY k.name
    ) AS unlogged
FROM asked AS c
