-- purpose: where capture is not as capture_table made it, or no longer fits its table; found in the catalog, before anything is written
-- grain:   one row per fault: source, what is wrong, operation (null: all) and relation it concerns; orchestration/capture.py words it
-- reads:   headrace.installation (what capture_table noted), pg_trigger, pg_proc, pg_depend, pg_attribute, pg_subscription_rel
-- writes:  nothing
-- locks:   none
--
-- The comparison of old and new knows columns by number and follows a rename; trigger functions know them by name and fail.
-- The columns that the comparison depends on, in their order, are those that were noted in that order: that is how a
-- column's new name is known, also after a restore has numbered columns anew.
CREATE OR REPLACE FUNCTION headrace.capture_faults(p_sources text[] DEFAULT NULL)
RETURNS TABLE (
    source text, fault text, op text, relation regclass, table_name text, place text, column_name text, found text, found_place text
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off -- compiling the plan takes seconds, running it milliseconds
AS $$
    WITH root AS MATERIALIZED (
        SELECT s.source, i.value::jsonb AS noted, (
            -- not by to_regclass, which demands a right on the application's schema
            SELECT c.oid FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = i.value::jsonb ->> 'schema' AND c.relname = i.value::jsonb ->> 'table' AND c.relkind IN ('r', 'p')
        ) AS relid
        FROM (
            SELECT unnest(p_sources) AS source
            UNION SELECT substr(n.name, 9) FROM headrace.installation n WHERE n.name LIKE 'capture %' AND p_sources IS NULL
            UNION SELECT unnest(t.sources) FROM headrace.stream t WHERE p_sources IS NULL
        ) s
        LEFT JOIN headrace.installation i ON i.name = 'capture ' || s.source
    ), target AS (
        SELECT
            r.source, r.noted, r.relid AS root, u.relid,
            c.relkind = 'p' OR EXISTS (SELECT FROM pg_subscription_rel x WHERE x.srrelid = r.relid) AS by_row
        FROM root r
        INNER JOIN pg_class c ON c.oid = r.relid
        CROSS JOIN LATERAL (SELECT r.relid UNION SELECT t.relid FROM pg_partition_tree(r.relid) t) u
    ), operation AS (
        SELECT r.source, o.op, o.type, p.oid AS function, p.prosrc, w.oid AS watched
        FROM root r
        CROSS JOIN (VALUES ('insert', 4), ('delete', 8), ('update', 16), ('truncate', 32)) o (op, type)
        LEFT JOIN pg_proc p
            ON p.pronamespace = 'headrace'::regnamespace AND p.proname = 'capture_' || r.source || '_' || o.op AND p.pronargs = 0
        LEFT JOIN pg_proc w
            ON w.pronamespace = 'headrace'::regnamespace AND w.proname = 'capture_' || r.source || '_watched' AND o.op = 'update'
                AND w.proargtypes[0] = (SELECT c.reltype FROM pg_class c WHERE c.oid = r.relid)
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
            t.source, t.noted, t.relid, t.relid = t.root AS is_root, o.op, g.oid AS trigger,
            CASE
                WHEN g.oid IS NULL THEN 'missing'
                WHEN g.tgenabled = 'D' THEN 'disabled'
                WHEN g.tgenabled <> 'A' THEN 'not always'
                WHEN g.tgfoid IS DISTINCT FROM o.function OR o.op = 'update' AND g.tgqual IS NOT NULL
                    OR g.tgtype <> o.type + (o.op = 'update' OR t.by_row AND o.op <> 'truncate')::integer
                    -- clones on partitions bear no comment
                    OR g.tgparentid = 0 AND obj_description(g.oid, 'pg_trigger') IS DISTINCT FROM 'headrace ' || (t.noted -> 'triggers' ->> o.op)
                    THEN 'differs'
            END AS fault
        FROM target t
        INNER JOIN operation o ON o.source = t.source
        LEFT JOIN pg_trigger g ON g.tgrelid = t.relid AND g.tgname = '!headrace_' || o.op
        WHERE NOT EXISTS (SELECT FROM bare b WHERE b.source = t.source)
    ), watched AS (
        SELECT w.source, w.relid, w.noted -> 'watches' AS noted, (
            SELECT jsonb_agg(a.attname ORDER BY a.attnum)
            FROM pg_depend d INNER JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = o.watched AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
        ) AS now
        FROM trigger_now w
        INNER JOIN operation o ON o.source = w.source AND o.op = w.op
        WHERE w.is_root AND w.op = 'update' AND w.fault IS NULL
    ), moved AS (
        SELECT w.source, w.relid, n.name, w.now ->> (n.place - 1)::integer AS found
        FROM watched w CROSS JOIN LATERAL jsonb_array_elements_text(w.noted) WITH ORDINALITY n (name, place)
        WHERE jsonb_array_length(w.now) = jsonb_array_length(w.noted) AND w.now ->> (n.place - 1)::integer <> n.name
    ), fault AS (
        SELECT r.source, 'not noted' AS fault, NULL AS op, NULL::oid AS relid, NULL AS column_name, NULL AS found, NULL::oid AS other
        FROM root r WHERE r.noted IS NULL
        UNION ALL
        SELECT r.source, 'gone', NULL, NULL, NULL, NULL, b.other FROM bare b INNER JOIN root r ON r.source = b.source
        WHERE r.relid IS NULL AND r.noted IS NOT NULL
        UNION ALL
        SELECT b.source, 'bare', NULL, b.relid, NULL, NULL, b.other
        FROM bare b WHERE b.relid IS NOT NULL
        UNION ALL
        SELECT t.source, t.fault, t.op, t.relid, NULL, NULL, NULL FROM trigger_now t WHERE t.fault IS NOT NULL
        UNION ALL
        SELECT w.source, 'differs', 'update', w.relid, NULL, NULL, NULL FROM watched w
        WHERE jsonb_array_length(w.now) IS DISTINCT FROM jsonb_array_length(w.noted)
        UNION ALL
        SELECT
            m.source,
            CASE WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = m.relid AND a.attname = m.name AND NOT a.attisdropped)
                THEN 'another column' ELSE 'renamed' END,
            'update', m.relid, m.name, m.found, NULL
        FROM moved m
        UNION ALL
        SELECT o.source, 'function', o.op, r.relid, NULL, NULL, NULL
        FROM operation o INNER JOIN root r ON r.source = o.source
        WHERE r.relid IS NOT NULL AND (
            headrace.capture_fingerprint(o.function) <> r.noted -> 'functions' ->> o.op
            OR headrace.capture_fingerprint(o.watched) <> r.noted -> 'functions' ->> 'watched')
        UNION ALL
        SELECT o.source, 'unreadable', o.op, r.relid, m.name, (SELECT v.found FROM moved v WHERE v.source = o.source AND v.name = m.name), NULL
        FROM operation o
        INNER JOIN root r ON r.source = o.source
        CROSS JOIN LATERAL (
            SELECT DISTINCT CASE WHEN x[1] LIKE '"%' THEN replace(substr(x[1], 2, length(x[1]) - 2), '""', '"') ELSE x[1] END AS name
            FROM regexp_matches(o.prosrc, '\m(?:NEW|OLD|r)\.("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)', 'g') x
        ) m
        WHERE r.relid IS NOT NULL
            AND NOT EXISTS (SELECT FROM bare b WHERE b.source = r.source)
            AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = r.relid AND a.attname = m.name AND NOT a.attisdropped)
    )
    SELECT
        f.source, f.fault, f.op, f.relid::regclass,
        coalesce(CASE WHEN n.nspname <> own.schema THEN n.nspname || '.' END || c.relname, c.relname, f.source),
        '"' || replace(coalesce(n.nspname, r.noted ->> 'schema'), '"', '""')
            || '"."' || replace(coalesce(c.relname, r.noted ->> 'table'), '"', '""') || '"',
        f.column_name,
        coalesce(f.found, CASE WHEN x.nspname <> own.schema THEN x.nspname || '.' END || k.relname, k.relname),
        '"' || replace(x.nspname, '"', '""') || '"."' || replace(k.relname, '"', '""') || '"'
    FROM fault f
    INNER JOIN root r ON r.source = f.source
    LEFT JOIN pg_class c ON c.oid = f.relid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_class k ON k.oid = f.other LEFT JOIN pg_namespace x ON x.oid = k.relnamespace
    LEFT JOIN LATERAL (SELECT value AS schema FROM headrace.installation WHERE name = 'source_schema') own ON true
    ORDER BY f.source, 5, f.fault, f.column_name, f.op
$$;
