-- purpose: the state of a source table as a short text: the relation with its name, the columns that are read, its partitions, its rights
-- grain:   one text, which changes if any of these change; null if no table has the name
-- reads:   pg_class, pg_namespace, pg_attribute, pg_policy, pg_inherits
-- writes:  nothing
-- locks:   none
--
-- A column's row version (xmin) reveals an ALTER that left no other trace. The table is looked up by name, because to_regclass needs
-- a right on the application's schema. PL/pgSQL, because it keeps its plan for the session.
CREATE OR REPLACE FUNCTION headrace.source_mark(p_schema name, p_table name, p_columns text[]) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT concat_ws(
            ' ', c.oid, c.relkind, hashtext(c.relacl::text),
            CASE WHEN c.relrowsecurity THEN (
                SELECT 'rls ' || string_agg(p.oid || ':' || p.xmin, ',' ORDER BY p.oid) FROM pg_policy p WHERE p.polrelid = c.oid
            ) END, c.relrowsecurity,
            (
                SELECT string_agg(a.attnum || ':' || a.attname || ':' || a.xmin, ',' ORDER BY a.attnum)
                FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY (p_columns)
            ),
            CASE WHEN c.relhassubclass THEN nullif(headrace.source_parts(c.oid)::text, '{}') END)
        FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = p_schema AND c.relname = p_table AND c.relkind IN ('r', 'p')
    );
END
$$;
