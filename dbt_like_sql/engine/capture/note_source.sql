-- purpose: records the present state of a source table: the columns that are read, its partitions, the files that hold its rows
-- grain:   one source
-- reads:   pg_class, pg_attribute, pg_inherits
-- writes:  headrace.source
-- locks:   its row there
CREATE OR REPLACE FUNCTION headrace.note_source(
    p_source text, p_table oid, p_columns text[], p_triggers jsonb DEFAULT NULL, p_functions jsonb DEFAULT NULL,
    p_specs jsonb DEFAULT NULL
) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    INSERT INTO headrace.source AS s (source, schema_name, table_name, relid, columns, parts, storage, mark, triggers, functions, specs)
    SELECT
        p_source, n.nspname, c.relname, c.oid, headrace.source_columns(c.oid, p_columns), headrace.source_parts(c.oid),
        headrace.source_storage(c.oid), headrace.source_mark(n.nspname, c.relname, p_columns), coalesce(p_triggers, '{}'), coalesce(p_functions, '{}'),
        coalesce(p_specs, '{}')
    FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = p_table
    ON CONFLICT (source) DO UPDATE SET
        schema_name = excluded.schema_name, table_name = excluded.table_name, relid = excluded.relid, columns = excluded.columns,
        parts = excluded.parts, storage = excluded.storage, mark = excluded.mark, noted_at = clock_timestamp(),
        triggers = coalesce(p_triggers, s.triggers), functions = coalesce(p_functions, s.functions),
        specs = coalesce(p_specs, s.specs)
    WHERE (s.mark, s.storage, s.triggers, s.functions, s.specs) IS DISTINCT FROM (
        excluded.mark, excluded.storage, coalesce(p_triggers, s.triggers), coalesce(p_functions, s.functions), coalesce(p_specs, s.specs))
$$;
