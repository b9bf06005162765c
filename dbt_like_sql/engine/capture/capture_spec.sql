-- purpose: checks and returns what a domain wants captured of a source table; capture_table combines all domains' specs into one set of triggers
-- grain:   one object per domain and table
-- reads:   pg_attribute
-- writes:  nothing
-- locks:   none
--
-- p_keys: columns logged with every change, old and new values. p_left: columns whose old values matter only if a row leaves them
-- behind; logged by DELETE, and by an UPDATE that changes one of them (building JSON is a third of a change's cost).
-- p_only_column, p_only_value: only rows that have this value, before or after the change, are captured. p_reads: columns that are
-- read but not watched. p_others: columns that no stream reads; they are noted as a separate source, '<source> others', and pause no stream.
--
-- A spec is a minimum: if another domain wants more of the table, changes carry more values, and there are more changes. A handler
-- must therefore rely on op and the values, never on whether a change or a value is present.
CREATE OR REPLACE FUNCTION headrace.capture_spec(
    p_table regclass,
    p_entity name,
    p_scope name,
    p_keys name[],
    p_watch name[],
    p_only_column name DEFAULT NULL,
    p_only_value text DEFAULT NULL,
    p_left name[] DEFAULT '{}',
    p_reads name[] DEFAULT '{}',
    p_others name[] DEFAULT '{}'
) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_named constant name[] := array_remove(p_entity || p_scope || p_only_column || p_keys || p_watch || p_left || p_reads || p_others, NULL);
BEGIN
    IF cardinality(p_keys) > 0 AND cardinality(p_left) > 0 THEN
        RAISE EXCEPTION 'capture of %: name either p_keys or p_left', p_table USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM unnest(v_named) k WHERE NOT EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = p_table AND a.attname = k AND NOT a.attisdropped))
    THEN
        RAISE EXCEPTION 'capture of %: the table lacks one of the columns %', p_table, v_named USING ERRCODE = 'undefined_column';
    END IF;
    RETURN jsonb_build_object(
        'table', p_table::oid, 'entity', p_entity, 'scope', p_scope, 'keys', p_keys, 'left', p_left, 'watch', p_watch,
        'only_column', p_only_column, 'only_value', p_only_value, 'reads', p_reads, 'others', p_others);
END
$$;
