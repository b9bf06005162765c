-- purpose: where capture is no longer as capture_table made it, according to the catalog
-- grain:   one row per fault: source, fault, operation (null: all) and relation; orchestration/engine/capture.py puts it into words
-- reads:   headrace.source (as capture_table noted it), headrace.stream, headrace.installation, pg_class, pg_trigger, pg_proc, pg_subscription_rel
-- writes:  nothing
-- locks:   none
--
-- missed: changes may have gone unseen. A partition without its TRUNCATE trigger has missed none while its rows are still in their
-- first file. Tables and columns that changed are the business of source_problems.
CREATE OR REPLACE FUNCTION headrace.capture_faults(p_sources text[] DEFAULT NULL)
RETURNS TABLE (
    source text, fault text, op text, relation regclass, table_name text, found text, missed boolean
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off -- compiling the plan takes seconds, running it milliseconds
AS $$
    WITH root AS MATERIALIZED (
        SELECT s.source, n.source IS NOT NULL AS noted, n.triggers, n.functions, n.schema_name, n.table_name, (
            -- to_regclass would need a right on the application's schema
            SELECT c.oid FROM pg_class c INNER JOIN pg_namespace m ON m.oid = c.relnamespace
            WHERE m.nspname = n.schema_name AND c.relname = n.table_name AND c.relkind IN ('r', 'p')
        ) AS relid
        FROM (
            SELECT unnest(p_sources) AS source
            UNION SELECT k.source FROM headrace.source k WHERE p_sources IS NULL AND k.triggers <> '{}'
            UNION SELECT unnest(t.sources) FROM headrace.stream t WHERE p_sources IS NULL
        ) s
        LEFT JOIN headrace.source n ON n.source = s.source
    ), target AS (
        SELECT
            r.source, r.triggers, r.relid AS root, u.relid,
            c.relkind = 'p' OR EXISTS (SELECT FROM pg_subscription_rel x WHERE x.srrelid = r.relid) AS by_row
        FROM root r
        INNER JOIN pg_class c ON c.oid = r.relid
        CROSS JOIN LATERAL (SELECT r.relid UNION SELECT t.relid FROM pg_partition_tree(r.relid) t) u
    ), operation AS (
        SELECT r.source, o.op, o.type, p.oid AS function
        FROM root r
        CROSS JOIN (VALUES ('insert', 4), ('delete', 8), ('update', 16), ('truncate', 32)) o (op, type)
        LEFT JOIN pg_proc p
            ON p.pronamespace = 'headrace'::regnamespace AND p.proname = 'capture_' || r.source || '_' || o.op AND p.pronargs = 0
    ), bearer AS (
        SELECT DISTINCT o.source, g.tgrelid AS relid
        FROM operation o INNER JOIN pg_trigger g ON g.tgfoid = o.function
        WHERE g.tgparentid = 0
    ), bare AS (
        SELECT r.source, r.relid, (
            SELECT min(b.relid) FROM bearer b WHERE b.source = r.source AND b.relid NOT IN (SELECT t.relid FROM target t WHERE t.source = r.source)
        ) AS other
        FROM root r
        WHERE NOT EXISTS (SELECT FROM bearer b WHERE b.source = r.source AND b.relid = r.relid)
    ), trigger_now AS (
        SELECT
            t.source, t.relid, o.op,
            CASE
                WHEN g.oid IS NULL THEN 'missing'
                WHEN g.tgenabled = 'D' THEN 'disabled'
                WHEN g.tgenabled <> 'A' THEN 'not always'
                WHEN g.tgfoid IS DISTINCT FROM o.function OR g.tgqual IS NOT NULL
                    OR g.tgtype <> o.type + (o.op = 'update' OR t.by_row AND o.op <> 'truncate')::integer
                    -- clones on partitions bear no comment
                    OR g.tgparentid = 0 AND obj_description(g.oid, 'pg_trigger') IS DISTINCT FROM 'headrace ' || (t.triggers ->> o.op)
                    THEN 'differs'
            END AS fault,
            -- relfilenode as CREATE TABLE sets it; TRUNCATE or a rewrite changes it
            g.oid IS NULL AND o.op = 'truncate' AND t.relid <> t.root AND (SELECT c.relfilenode = c.oid FROM pg_class c WHERE c.oid = t.relid) AS fresh
        FROM target t
        INNER JOIN operation o ON o.source = t.source
        LEFT JOIN pg_trigger g ON g.tgrelid = t.relid AND g.tgname = '!headrace_' || o.op
        WHERE NOT EXISTS (SELECT FROM bare b WHERE b.source = t.source)
    ), fault AS (
        SELECT r.source, 'not noted' AS fault, NULL AS op, NULL::oid AS relid, NULL::oid AS other, true AS missed
        FROM root r WHERE NOT r.noted
        UNION ALL
        SELECT b.source, 'bare', NULL, b.relid, b.other, true
        FROM bare b WHERE b.relid IS NOT NULL
        UNION ALL
        SELECT t.source, t.fault, t.op, t.relid, NULL, NOT t.fresh FROM trigger_now t
        WHERE t.fault IS NOT NULL
        UNION ALL
        SELECT o.source, 'function', o.op, r.relid, NULL, true
        FROM operation o INNER JOIN root r ON r.source = o.source
        WHERE r.relid IS NOT NULL AND headrace.capture_fingerprint(o.function) <> r.functions ->> o.op
    )
    SELECT
        f.source, f.fault, f.op, f.relid::regclass,
        coalesce(CASE WHEN n.nspname <> own.schema THEN n.nspname || '.' END || c.relname, c.relname, f.source),
        coalesce(CASE WHEN x.nspname <> own.schema THEN x.nspname || '.' END || k.relname, k.relname),
        f.missed
    FROM fault f
    INNER JOIN root r ON r.source = f.source
    LEFT JOIN pg_class c ON c.oid = f.relid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_class k ON k.oid = f.other LEFT JOIN pg_namespace x ON x.oid = k.relnamespace
    LEFT JOIN LATERAL (SELECT value AS schema FROM headrace.installation WHERE name = 'source_schema') own ON true
    ORDER BY f.source, 5, f.fault, f.op
$$;
