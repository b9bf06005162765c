-- purpose: the given columns that a table has: number, type (with collation and generation) and catalog version of each
-- grain:   one object: {name: {number, type, written, version}}; written: the type as SQL spells it
-- reads:   pg_attribute
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.source_columns(p_table oid, p_columns text[]) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(a.attname, jsonb_build_object(
        'number', a.attnum, 'type', a.atttypid || ':' || a.attcollation || ':' || a.attgenerated::text,
        'written', format_type(a.atttypid, NULL), 'version', a.xmin::text)), '{}')
    FROM pg_attribute a WHERE a.attrelid = p_table AND a.attname = ANY (p_columns) AND a.attnum > 0 AND NOT a.attisdropped
$$;
