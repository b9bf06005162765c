-- purpose: installs change capture on one source table: typed trigger functions generated from a spec, and their triggers
-- grain:   one call per captured table; idempotent: triggers without a fault (capture_faults) are left alone, without a lock
-- reads:   pg_class, pg_trigger, pg_subscription_rel, capture_faults
-- writes:  functions headrace.capture_<source>_<op> and …_watched, triggers "!headrace_<op>" ('!' fires first), headrace.installation
-- locks:   SHARE ROW EXCLUSIVE on the table, only where a trigger is missing or differs
--
-- p_keys are logged with every change, old and new. p_left are columns whose old values matter only where a row leaves
-- them behind: logged by an UPDATE that changes one of them, and by DELETE (building JSON is a third of a change's cost).
--
-- An UPDATE of nothing watched is told in the function, not by a WHEN: a trigger's WHEN is parsed anew in each statement,
-- 14 µs for nine columns (docs/decisions.md, 13). The comparison is a function of its own with a parsed body, like a WHEN
-- knows columns by number, and is inlined: renaming a column that is only watched does not break the application.
CREATE OR REPLACE FUNCTION headrace.capture_table(
    p_table regclass,
    p_source text,
    p_entity name,
    p_scope name,
    p_keys name[],
    p_watch name[],
    p_only_column name DEFAULT NULL,
    p_only_value text DEFAULT NULL,
    p_left name[] DEFAULT '{}'
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
    v_values constant text := '%1$L, %2$L, %3$s.%4$I::text, ' || CASE WHEN p_scope IS NULL THEN 'NULL' ELSE '%3$s.%5$I::text' END || ', %6$s, %7$s';
    -- Times by way of JSON, which writes them in ISO whatever the session's DateStyle says.
    v_pairs constant text := (
        SELECT string_agg(format(CASE t.typcategory WHEN 'D' THEN '%L, to_jsonb($row$.%I) #>> ''{}''' ELSE '%L, $row$.%I::text' END, k, k), ', ' ORDER BY n)
        FROM unnest(p_keys || p_left) WITH ORDINALITY u (k, n)
        INNER JOIN pg_attribute a ON a.attrelid = p_table AND a.attname = k INNER JOIN pg_type t ON t.oid = a.atttypid);
    v_left_changed constant text := (SELECT string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', k), ' OR ') FROM unnest(p_left) k);
    v_watched constant name := 'capture_' || p_source || '_watched';
    v_watch constant text := (SELECT string_agg(format('(o).%1$I IS DISTINCT FROM (n).%1$I', w), ' OR ') FROM unnest(p_watch) w);
    v_only constant text := CASE WHEN p_only_column IS NOT NULL THEN format('($row$).%I = %L', p_only_column, p_only_value) END;
    v_update text;  -- the INSERTs of an UPDATE, $data$ for what they carry; a row that changes its id is a change of two entities
    v_ops constant text[] := ARRAY['insert', 'update', 'delete', 'truncate'];
    v_op text;
    v_row text;  -- what a row is called: NEW, OLD, or r, one of the transition table
    v_data text;
    v_body text;
    v_trigger text;
    v_triggers jsonb := '{}';
    v_prints jsonb := '{}';  -- what each trigger, and what an UPDATE's watches, are known again by
    v_functions jsonb;
    v_noted jsonb;
    v_changed integer := 0;
    v_target regclass;
    v_other regprocedure;
BEGIN
    IF cardinality(p_keys) > 0 AND cardinality(p_left) > 0 THEN
        RAISE EXCEPTION 'capture of %: name either p_keys or p_left', p_source USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM unnest(p_keys || p_left) k WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p_table AND a.attname = k)) THEN
        RAISE EXCEPTION 'capture of %: table % lacks one of the columns %', p_source, p_table, p_keys || p_left USING ERRCODE = 'undefined_column';
    END IF;
    v_update := format(
        'INSERT INTO headrace.change_log (%1$s) VALUES (%2$s); IF OLD.%3$I IS DISTINCT FROM NEW.%3$I THEN'
        || ' INSERT INTO headrace.change_log (%1$s) VALUES (%4$s); END IF;',
        v_columns, format(v_values, p_source, 'U', 'NEW', p_entity, p_scope, '$data$', v_cause), p_entity,
        format(v_values, p_source, 'U', 'OLD', p_entity, p_scope, '$data$', v_cause));
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION headrace.%1$I(o %2$s, n %2$s) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN (%3$s)%4$s',
        v_watched, p_table, v_watch,
        coalesce(' AND (' || replace(v_only, '$row$', 'o') || ' OR ' || replace(v_only, '$row$', 'n') || ')', ''));
    EXECUTE format('REVOKE ALL ON FUNCTION headrace.%1$I(%2$s, %2$s) FROM PUBLIC', v_watched, p_table);
    v_functions := jsonb_build_object(
        'watched', headrace.capture_fingerprint(format('headrace.%1$I(%2$s, %2$s)', v_watched, p_table)::regprocedure));

    FOREACH v_op IN ARRAY v_ops LOOP
        v_row := CASE WHEN v_op <> 'update' AND NOT v_by_row THEN 'r' WHEN v_op = 'delete' THEN 'OLD' ELSE 'NEW' END;
        v_data := CASE
            WHEN v_op = 'update' AND cardinality(p_keys) > 0 THEN format(
                'jsonb_build_object(''old'', jsonb_object(ARRAY[%s]), ''new'', jsonb_object(ARRAY[%s]))',
                replace(v_pairs, '$row$', 'OLD'), replace(v_pairs, '$row$', 'NEW'))
            WHEN v_op = 'delete' AND v_pairs IS NOT NULL OR v_op = 'update' AND cardinality(p_left) > 0 THEN format(
                'jsonb_build_object(''old'', jsonb_object(ARRAY[%s]))', replace(v_pairs, '$row$', CASE v_op WHEN 'update' THEN 'OLD' ELSE v_row END))
            WHEN v_op = 'insert' AND cardinality(p_keys) > 0 THEN format(
                'jsonb_build_object(''new'', jsonb_object(ARRAY[%s]))', replace(v_pairs, '$row$', v_row))
            ELSE 'NULL'
        END;
        v_body := CASE
            WHEN v_op = 'truncate' THEN format(
                'INSERT INTO headrace.change_log (%s) VALUES (%L, ''T'', NULL, NULL, NULL, %s);', v_columns, p_source, v_cause)
            WHEN v_op = 'update' THEN format('IF headrace.%I(OLD, NEW) THEN ', v_watched) || CASE
                -- told apart before the INSERT, which would set up the whole expression anew for every row
                WHEN cardinality(p_left) > 0
                    THEN format('IF %s THEN %s ELSE %s END IF;', v_left_changed, replace(v_update, '$data$', v_data), replace(v_update, '$data$', 'NULL'))
                ELSE replace(v_update, '$data$', v_data)
            END || ' END IF;'
            WHEN v_by_row THEN format(
                'INSERT INTO headrace.change_log (%s) VALUES (%s);',
                v_columns, format(v_values, p_source, upper(left(v_op, 1)), v_row, p_entity, p_scope, v_data, v_cause))
            ELSE format(
                'INSERT INTO headrace.change_log (%s) SELECT %s FROM changed_rows r%s;',
                v_columns, format(v_values, p_source, upper(left(v_op, 1)), v_row, p_entity, p_scope, v_data, v_cause),
                coalesce(' WHERE ' || replace(v_only, '$row$', 'r'), ''))
        END;

        EXECUTE format(
            'CREATE OR REPLACE FUNCTION headrace.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER'
            || ' SET search_path = pg_catalog, headrace, pg_temp AS $body$ BEGIN %s RETURN NULL; END $body$',
            'capture_' || p_source || '_' || v_op, v_body);
        EXECUTE format('REVOKE ALL ON FUNCTION headrace.%I() FROM PUBLIC', 'capture_' || p_source || '_' || v_op);

        -- %s stands for the table: whatever else bears a % is doubled.
        v_trigger := CASE
            WHEN v_op = 'truncate' THEN 'AFTER TRUNCATE ON %s FOR EACH STATEMENT'
            WHEN v_op = 'update' THEN 'AFTER UPDATE ON %s FOR EACH ROW'
            WHEN v_by_row THEN 'AFTER ' || upper(v_op) || ' ON %s FOR EACH ROW'
                || coalesce(' WHEN (' || replace(replace(v_only, '$row$', v_row), '%', '%%') || ')', '')
            ELSE 'AFTER ' || upper(v_op) || ' ON %s REFERENCING '
                || CASE v_op WHEN 'delete' THEN 'OLD' ELSE 'NEW' END || ' TABLE AS changed_rows FOR EACH STATEMENT'
        END;
        v_triggers := v_triggers || jsonb_build_object(v_op, v_trigger);
        v_prints := v_prints || jsonb_build_object(
            v_op, md5(v_trigger || CASE v_op WHEN 'update' THEN v_watch || coalesce(v_only, '') ELSE '' END));
        v_functions := v_functions || jsonb_build_object(
            v_op, headrace.capture_fingerprint(format('headrace.%I()', 'capture_' || p_source || '_' || v_op)::regprocedure));
    END LOOP;

    -- Noted, for capture_faults to compare with.
    v_noted := jsonb_build_object(
        'schema', (SELECT n.nspname FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = p_table),
        'table', (SELECT c.relname FROM pg_class c WHERE c.oid = p_table),
        'functions', v_functions,
        'triggers', v_prints,
        'watches', (
            SELECT jsonb_agg(a.attname ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = p_table AND a.attname = ANY (p_watch || p_only_column)));
    INSERT INTO headrace.installation AS i (name, value) VALUES ('capture ' || p_source, v_noted::text)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE i.value <> excluded.value;

    -- TRUNCATE of a partition does not fire its parent's trigger: every leaf bears its own. Row triggers reach the leaves by
    -- themselves, also when they are made anew because one of them was disabled there.
    FOR v_op, v_target IN
        WITH fault AS MATERIALIZED (
            SELECT f.op, f.relation FROM headrace.capture_faults(ARRAY[p_source]) f
            WHERE f.fault NOT IN ('function', 'unreadable')  -- mended by now, or for the trigger to fail on
        )
        SELECT o.op, t.relid
        FROM unnest(v_ops) WITH ORDINALITY o (op, place)
        CROSS JOIN LATERAL (SELECT p_table AS relid UNION SELECT t.relid FROM pg_partition_tree(p_table) t WHERE o.op = 'truncate') t
        WHERE EXISTS (
            SELECT FROM fault f WHERE f.op IS NULL OR f.op = o.op AND (f.relation = t.relid OR o.op <> 'truncate'))
        ORDER BY o.place, t.relid
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I ', '!headrace_' || v_op)
            || format(v_triggers ->> v_op, v_target) || format(' EXECUTE FUNCTION headrace.%I()', 'capture_' || p_source || '_' || v_op);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', v_target, '!headrace_' || v_op);
        EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', '!headrace_' || v_op, v_target, 'headrace ' || (v_prints ->> v_op));
        v_changed := v_changed + 1;
    END LOOP;

    -- Triggers on a table that had the name before, or on a partition that was detached.
    FOR v_op, v_target IN
        SELECT g.tgname, g.tgrelid
        FROM pg_trigger g
        WHERE g.tgparentid = 0
            AND g.tgfoid = ANY (ARRAY(SELECT format('headrace.%I()', 'capture_' || p_source || '_' || o)::regprocedure FROM unnest(v_ops) o))
            AND g.tgrelid <> p_table AND NOT EXISTS (SELECT FROM pg_partition_tree(p_table) t WHERE t.relid = g.tgrelid)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', v_op, v_target);
    END LOOP;
    FOR v_other IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'headrace'::regnamespace AND p.proname = v_watched
            AND p.proargtypes[0] <> (SELECT c.reltype FROM pg_class c WHERE c.oid = p_table)
    LOOP
        EXECUTE format('DROP FUNCTION %s', v_other);
    END LOOP;
    RETURN v_changed;
END
$capture$;
