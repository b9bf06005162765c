-- purpose: source tables and columns that can no longer be read as migrate found them, in sentences, each with its remedy
-- grain:   one row per table or column; no rows: everything can be read. p_sources null: all captured sources
-- reads:   headrace.source, pg_class, pg_namespace, pg_attribute, pg_policy, pg_roles
-- writes:  nothing
-- locks:   none
--
-- Whatever reads such a table is paused: streams by stream_poll, everything that uses a stg_ function by source_holds. fault is gone,
-- replaced, denied, hidden, no column, or type; found is the new name of the table or column, or the column's present type.
CREATE OR REPLACE FUNCTION headrace.source_problems(p_sources text[] DEFAULT NULL)
RETURNS TABLE (source text, column_name text, fault text, found text, what text, remedy text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH noted AS (
        SELECT s.*, (
            SELECT c.oid FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = s.schema_name AND c.relname = s.table_name AND c.relkind IN ('r', 'p')
        ) AS named
        FROM headrace.source s
        WHERE (p_sources IS NULL OR s.source = ANY (p_sources)) AND s.mark IS NOT NULL
    ), place AS (
        SELECT
            n.*, format('%I.%I', n.schema_name, n.table_name) AS full_name,
            m.nspname AS schema_now, m.oid AS namespace, c.relrowsecurity AS secured, c.relname AS table_now, c.oid IS NOT NULL AND m.nspname <> n.schema_name AS moved
        FROM noted n
        LEFT JOIN pg_class c ON c.oid = n.relid AND c.relkind IN ('r', 'p') LEFT JOIN pg_namespace m ON m.oid = c.relnamespace
    ), owner AS (
        SELECT r.oid, r.rolname, r.rolsuper OR r.rolbypassrls AS sees_all
        FROM pg_namespace h INNER JOIN pg_roles r ON r.oid = h.nspowner WHERE h.nspname = 'headrace'
    )
    SELECT
        p.source, NULL, 'gone', CASE WHEN p.moved THEN p.schema_now || '.' || p.table_now ELSE p.table_now END,
        CASE
            WHEN p.table_now IS NULL THEN format('table %s is gone: what reads it is paused', p.table_name)
            ELSE format('table %s is now called %s: what reads it is paused', p.table_name,
                CASE WHEN p.moved THEN p.schema_now || '.' || p.table_now ELSE p.table_now END)
        END,
        CASE
            WHEN p.table_now IS NULL THEN 'headrace migrate'
            WHEN p.moved THEN format('ALTER TABLE %I.%I SET SCHEMA %I;', p.schema_now, p.table_now, p.schema_name)
            ELSE format('ALTER TABLE %I.%I RENAME TO %I;', p.schema_now, p.table_now, p.table_name)
        END
    FROM place p WHERE p.named IS NULL
    UNION ALL
    SELECT
        p.source, NULL, 'replaced', p.table_now,
        format('table %s is another one than when Headrace was installed: what reads it is paused', p.table_name), 'headrace migrate'
    FROM place p WHERE p.named <> p.relid
    UNION ALL
    SELECT
        p.source, NULL, 'denied', o.rolname,
        format('role %s may not read table %s: what reads it is paused', o.rolname, p.table_name), 'headrace migrate'
    FROM place p CROSS JOIN owner o
    WHERE p.named = p.relid AND NOT (has_table_privilege(o.oid, p.relid, 'SELECT') AND has_schema_privilege(o.oid, p.namespace, 'USAGE'))
    UNION ALL
    -- All rows are visible only with a permissive policy that shows all, and no restrictive one that hides some.
    SELECT
        p.source, NULL, 'hidden', o.rolname,
        format('row-level security hides rows of table %s from role %s: what reads it is paused', p.table_name, o.rolname), 'headrace migrate'
    FROM place p CROSS JOIN owner o
    WHERE p.named = p.relid AND p.secured AND NOT o.sees_all AND NOT (
        EXISTS (
            SELECT FROM pg_policy x
            WHERE x.polrelid = p.relid AND x.polpermissive AND x.polcmd IN ('*', 'r') AND x.polroles && ARRAY[o.oid, 0]
                AND pg_get_expr(x.polqual, x.polrelid) = 'true')
        AND NOT EXISTS (
            SELECT FROM pg_policy x
            WHERE x.polrelid = p.relid AND NOT x.polpermissive AND x.polcmd IN ('*', 'r') AND pg_get_expr(x.polqual, x.polrelid) <> 'true'
                AND EXISTS (SELECT FROM unnest(x.polroles) r WHERE r = 0 OR pg_has_role(o.oid, r, 'USAGE'))))
    UNION ALL
    SELECT
        p.source, k.name, 'no column', a.attname,
        CASE
            WHEN a.attname IS NULL THEN format('column %s of table %s is gone: what reads it is paused', k.name, p.table_name)
            ELSE format('column %s of table %s is now called %s: what reads it is paused', k.name, p.table_name, a.attname)
        END,
        CASE WHEN a.attname IS NULL THEN 'headrace migrate'
            ELSE format('ALTER TABLE %s RENAME COLUMN %I TO %I;', p.full_name, a.attname, k.name) END
    FROM place p
    CROSS JOIN LATERAL jsonb_each(p.columns) k (name, noted)
    LEFT JOIN pg_attribute a ON a.attrelid = p.relid AND a.attnum = (k.noted ->> 'number')::smallint AND NOT a.attisdropped
    WHERE p.named = p.relid AND NOT headrace.source_columns(p.relid, ARRAY[k.name]) ? k.name
    UNION ALL
    SELECT
        p.source, k.name, 'type', c.now ->> 'written',
        format('column %s of table %s was %s and is %s now%s: what reads it is paused', k.name, p.table_name, k.noted ->> 'written', c.now ->> 'written',
            CASE WHEN k.noted ->> 'written' = c.now ->> 'written' THEN ', with another collation or generated otherwise' ELSE '' END),
        'headrace migrate'
    FROM place p
    CROSS JOIN LATERAL jsonb_each(p.columns) k (name, noted)
    CROSS JOIN LATERAL (SELECT headrace.source_columns(p.relid, ARRAY[k.name]) -> k.name AS now) c
    WHERE p.named = p.relid AND c.now ->> 'type' <> k.noted ->> 'type'
    ORDER BY 1, 2 NULLS FIRST
$$;
