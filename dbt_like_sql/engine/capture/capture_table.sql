-- purpose: installs change capture on one source table: typed trigger functions generated from a spec, and their triggers
-- grain:   one call per captured table; idempotent: triggers that already match are left alone, without a lock
-- reads:   pg_class, pg_trigger, pg_subscription_rel
-- writes:  functions headrace.capture_<source>_<op>, triggers "!headrace_<op>" ('!' sorts, and so fires, first)
-- locks:   SHARE ROW EXCLUSIVE on the table, only where a trigger is missing or differs
CREATE OR REPLACE FUNCTION headrace.capture_table(
    p_table regclass,
    p_source text,
    p_entity name,
    p_scope name,
    p_keys name[],
    p_watch name[],
    p_only_column name DEFAULT NULL,
    p_only_value text DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $capture$
DECLARE
    -- Statement triggers fire neither for logical apply nor for rows that an UPDATE moves between partitions.
    v_by_row boolean := (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = p_table)
        OR EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = p_table);
    v_columns constant text := 'source, op, entity_id, scope, data, cause';
    v_cause constant text := 'NULLIF(current_setting(''headrace.cause'', true), '''')';
    v_op text;
    v_alias text;
    v_body text;
    v_trigger text;
    v_fingerprint text;
    v_changed integer := 0;
    v_target regclass;

    v_values_new text;
    v_values_old text;
    v_only_new text := '';
    v_only_old text := '';
    v_keys_of text;
    v_watch text;
BEGIN
    SELECT string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', w), ' OR ') INTO v_watch FROM unnest(p_watch) w;
    SELECT coalesce(string_agg(format('%L, $row$.%I', k, k), ', '), '') INTO v_keys_of FROM unnest(p_keys) k;
    v_values_new := format(
        '%L, ''$op$'', $row$.%I::text, %s, %s, %s',
        p_source, p_entity,
        CASE WHEN p_scope IS NULL THEN 'NULL' ELSE format('$row$.%I::text', p_scope) END,
        CASE WHEN cardinality(p_keys) = 0 THEN 'NULL' ELSE 'jsonb_build_object(''$side$'', jsonb_build_object(' || v_keys_of || '))' END,
        v_cause);
    IF p_only_column IS NOT NULL THEN
        v_only_new := format('$row$.%I = %L', p_only_column, p_only_value);
    END IF;

    FOREACH v_op IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
        v_values_old := replace(replace(replace(v_values_new,
            '$op$', upper(left(v_op, 1))),
            '$side$', CASE v_op WHEN 'delete' THEN 'old' ELSE 'new' END),
            '$row$', CASE WHEN v_op = 'delete' THEN 'OLD' ELSE 'NEW' END);
        IF v_op = 'truncate' THEN
            v_body := format('INSERT INTO headrace.change_log (%s) VALUES (%L, ''T'', NULL, NULL, NULL, %s);', v_columns, p_source, v_cause);
        ELSIF v_op = 'update' THEN
            v_only_old := CASE WHEN v_only_new = '' THEN '' ELSE replace(v_only_new, '$row$', 'OLD') || ' OR ' || replace(v_only_new, '$row$', 'NEW') END;
            v_body := format(
                'INSERT INTO headrace.change_log (%1$s) VALUES (%2$L, ''U'', NEW.%3$I::text, %4$s, %5$s, %6$s);'
                || ' IF OLD.%3$I IS DISTINCT FROM NEW.%3$I THEN'
                || ' INSERT INTO headrace.change_log (%1$s) VALUES (%2$L, ''U'', OLD.%3$I::text, %7$s, %5$s, %6$s); END IF;',
                v_columns, p_source, p_entity,
                CASE WHEN p_scope IS NULL THEN 'NULL' ELSE format('NEW.%I::text', p_scope) END,
                CASE WHEN cardinality(p_keys) = 0 THEN 'NULL' ELSE 'jsonb_build_object(''old'', jsonb_build_object('
                    || replace(v_keys_of, '$row$', 'OLD') || '), ''new'', jsonb_build_object(' || replace(v_keys_of, '$row$', 'NEW') || '))' END,
                v_cause,
                CASE WHEN p_scope IS NULL THEN 'NULL' ELSE format('OLD.%I::text', p_scope) END);
        ELSIF v_by_row THEN
            v_alias := CASE v_op WHEN 'delete' THEN 'OLD' ELSE 'NEW' END;
            v_body := format('INSERT INTO headrace.change_log (%s) VALUES (%s);', v_columns, v_values_old);
        ELSE
            v_body := format(
                'INSERT INTO headrace.change_log (%s) SELECT %s FROM changed_rows r%s;',
                v_columns,
                replace(replace(v_values_old, 'NEW.', 'r.'), 'OLD.', 'r.'),
                CASE WHEN v_only_new = '' THEN '' ELSE ' WHERE ' || replace(v_only_new, '$row$', 'r') END);
        END IF;

        EXECUTE format(
            'CREATE OR REPLACE FUNCTION headrace.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER'
            || ' SET search_path = pg_catalog, headrace, pg_temp AS $body$ BEGIN %s RETURN NULL; END $body$',
            'capture_' || p_source || '_' || v_op, v_body);
        EXECUTE format('REVOKE ALL ON FUNCTION headrace.%I() FROM PUBLIC', 'capture_' || p_source || '_' || v_op);

        v_trigger := CASE
            WHEN v_op = 'truncate' THEN 'AFTER TRUNCATE ON %s FOR EACH STATEMENT'
            WHEN v_op = 'update' THEN 'AFTER UPDATE ON %s FOR EACH ROW WHEN (('
                || replace(v_watch, '%', '%%') || ')' || CASE WHEN v_only_old = '' THEN '' ELSE ' AND (' || replace(v_only_old, '%', '%%') || ')' END || ')'
            WHEN v_by_row THEN 'AFTER ' || upper(v_op) || ' ON %s FOR EACH ROW'
                || CASE WHEN v_only_new = '' THEN '' ELSE ' WHEN (' || replace(replace(v_only_new, '$row$', v_alias), '%', '%%') || ')' END
            ELSE 'AFTER ' || upper(v_op) || ' ON %s REFERENCING '
                || CASE v_op WHEN 'delete' THEN 'OLD' ELSE 'NEW' END || ' TABLE AS changed_rows FOR EACH STATEMENT'
        END;
        v_fingerprint := 'headrace ' || md5(v_trigger);

        -- TRUNCATE of a partition does not fire its parent's trigger: every leaf bears its own.
        FOR v_target IN
            SELECT t.relid FROM pg_partition_tree(p_table) t WHERE v_op = 'truncate'
            UNION SELECT p_table
        LOOP
            CONTINUE WHEN EXISTS (
                SELECT FROM pg_trigger g
                WHERE g.tgrelid = v_target AND g.tgname = '!headrace_' || v_op AND g.tgenabled = 'A'
                    AND obj_description(g.oid, 'pg_trigger') = v_fingerprint);
            EXECUTE format('CREATE OR REPLACE TRIGGER %I ', '!headrace_' || v_op)
                || format(v_trigger, v_target) || format(' EXECUTE FUNCTION headrace.%I()', 'capture_' || p_source || '_' || v_op);
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', v_target, '!headrace_' || v_op);
            EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', '!headrace_' || v_op, v_target, v_fingerprint);
            v_changed := v_changed + 1;
        END LOOP;
    END LOOP;
    RETURN v_changed;
END
$capture$;
