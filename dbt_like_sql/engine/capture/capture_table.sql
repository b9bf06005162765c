-- purpose: installs change capture on one source table: trigger functions generated from what the domains want of it, and their triggers
-- grain:   one call per captured table; idempotent: triggers without a fault (capture_faults) are neither changed nor locked
-- reads:   pg_class, pg_attribute, pg_type, pg_trigger, pg_subscription_rel, capture_faults, headrace.source
-- writes:  functions headrace.capture_<source>_<op>, triggers "!headrace_<op>" ('!' fires first), headrace.source
-- locks:   SHARE ROW EXCLUSIVE on the table, only if a trigger is missing or differs; ACCESS EXCLUSIVE on tables that lose their triggers
--
-- p_specs: the result of capture_spec by domain; capture_union combines them. made: how many triggers were made. missed: domains for
-- which changes may have gone unseen until now.
--
-- An application may alter its table at will: nothing here depends on its columns, and no write fails. A row trigger reads its row in
-- a block with an exception handler, before anything is written (a subtransaction without an id, half a microsecond); rows it cannot
-- read go to log_change_anew. A statement trigger finds a column in the row or, if the table no longer has it, one query level further
-- out, where a column of that name has type headrace.missing. Such a row is logged as X.
CREATE OR REPLACE FUNCTION headrace.capture_table(p_source text, p_specs jsonb, OUT made integer, OUT missed text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $capture$
DECLARE
    v_all constant jsonb := headrace.capture_union(p_source, p_specs);
    v_table constant regclass := (v_all ->> 'table')::oid;
    v_entity constant name := v_all ->> 'entity';
    v_scope constant name := v_all ->> 'scope';
    v_keys constant name[] := ARRAY(SELECT jsonb_array_elements_text(v_all -> 'keys'));
    v_left constant name[] := ARRAY(SELECT jsonb_array_elements_text(v_all -> 'left'));
    v_watch constant name[] := ARRAY(SELECT jsonb_array_elements_text(v_all -> 'watch'));
    v_only_column constant name := v_all ->> 'only_column';
    v_only_value constant text := v_all ->> 'only_value';
    -- Statement triggers fire neither for logical apply nor for rows that an UPDATE moves between partitions.
    v_by_row boolean := (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = v_table)
        OR EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = v_table);
    v_ops constant text[] := ARRAY['insert', 'update', 'delete', 'truncate'];
    v_columns constant text := 'source, op, entity_id, scope, data, cause';
    -- Cut to 200 characters, because any session may set it.
    v_cause constant text := 'left(NULLIF(current_setting(''headrace.cause'', true), ''''), 200)';
    v_read constant name[] := ARRAY(SELECT DISTINCT c FROM unnest(v_entity || v_keys || v_watch || v_left || ARRAY(SELECT jsonb_array_elements_text(v_all -> 'reads'))::name[] || v_scope || v_only_column) c
        WHERE c IS NOT NULL);
    v_others constant text[] := ARRAY(SELECT o FROM jsonb_array_elements_text(v_all -> 'others') o WHERE o <> ALL (v_read));
    -- $row$ stands for the row's name. Times go through JSON, which writes ISO whatever the session's DateStyle.
    v_pairs constant text := (
        SELECT string_agg(format(CASE t.typcategory WHEN 'D' THEN '%L, to_jsonb($row$%I) #>> ''{}''' ELSE '%L, $row$%I::text' END, k, k), ', ' ORDER BY n)
        FROM unnest(v_keys || v_left) WITH ORDINALITY u (k, n)
        INNER JOIN pg_attribute a ON a.attrelid = v_table AND a.attname = k INNER JOIN pg_type t ON t.oid = a.atttypid);
    v_watched constant text := (SELECT string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', w), ' OR ' ORDER BY n) FROM unnest(v_watch) WITH ORDINALITY u (w, n));
    v_left_changed constant text := (SELECT string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', k), ' OR ') FROM unnest(v_left) k);
    v_only constant text := CASE WHEN v_only_column IS NOT NULL THEN format('$row$%I = %L', v_only_column, v_only_value) END;
    v_spec constant jsonb := v_all - '{table,reads,others}'::text[];
    v_before headrace.source;
    v_op text;
    v_row text;  -- NEW. or OLD.; empty for statement triggers, which read columns by bare names
    v_used name[];
    v_data text;
    v_body text;
    v_trigger text;
    v_triggers jsonb := '{}';
    v_prints jsonb := '{}';  -- md5 of each trigger's definition, with an UPDATE's watched columns
    v_functions jsonb := '{}';
    v_target regclass;
BEGIN
    made := 0;
    -- Faults that appeared after migrate looked for them.
    missed := CASE WHEN EXISTS (SELECT FROM headrace.capture_faults(ARRAY[p_source]) f WHERE f.missed)
        THEN ARRAY(SELECT jsonb_object_keys(p_specs)) ELSE '{}' END;
    SELECT * INTO v_before FROM headrace.source s WHERE s.source = p_source;

    FOREACH v_op IN ARRAY v_ops LOOP
        v_row := CASE WHEN v_op <> 'update' AND NOT v_by_row THEN '' WHEN v_op = 'delete' THEN 'OLD.' ELSE 'NEW.' END;
        v_data := CASE
            WHEN v_op = 'update' AND cardinality(v_keys) > 0 THEN format(
                'jsonb_build_object(''old'', jsonb_object(ARRAY[%s]), ''new'', jsonb_object(ARRAY[%s]))',
                replace(v_pairs, '$row$', 'OLD.'), replace(v_pairs, '$row$', 'NEW.'))
            WHEN v_op = 'delete' AND v_pairs IS NOT NULL OR v_op = 'update' AND cardinality(v_left) > 0 THEN format(
                'jsonb_build_object(''old'', jsonb_object(ARRAY[%s]))', replace(v_pairs, '$row$', CASE v_op WHEN 'update' THEN 'OLD.' ELSE v_row END))
            WHEN v_op = 'insert' AND cardinality(v_keys) > 0 THEN format(
                'jsonb_build_object(''new'', jsonb_object(ARRAY[%s]))', replace(v_pairs, '$row$', v_row))
        END;
        v_used := ARRAY(
            SELECT DISTINCT c FROM unnest(ARRAY[v_entity, v_scope, v_only_column] || CASE WHEN v_data IS NULL THEN '{}' ELSE v_keys || v_left END) c
            WHERE c IS NOT NULL ORDER BY c);
        v_body := CASE
            WHEN v_op = 'truncate' THEN format(
                'INSERT INTO headrace.change_log (%s) VALUES (%L, ''T'', NULL, NULL, NULL, %s);', v_columns, p_source, v_cause)
            WHEN v_op <> 'update' AND NOT v_by_row THEN format(
                'INSERT INTO headrace.change_log (%s)'
                || ' SELECT %L, CASE WHEN v.lacking THEN ''X'' ELSE %L END::"char", v.entity, v.scope, v.data, %s FROM changed_rows r'
                || ' CROSS JOIN (SELECT %s) absent CROSS JOIN LATERAL (SELECT %s AS lacking, %s AS data, %I::text AS entity, %s AS scope%s FROM (SELECT r.*) x) v%s;',
                v_columns, p_source, upper(left(v_op, 1) COLLATE "C"), v_cause,
                (SELECT string_agg(format('NULL::headrace.missing AS %I', c), ', ') FROM unnest(v_used) c),
                (SELECT string_agg(format('pg_typeof(%I) = ''headrace.missing''::regtype', c), ' OR ') FROM unnest(v_used) c),
                coalesce(v_data, 'NULL::jsonb'), v_entity, coalesce(quote_ident(v_scope) || '::text', 'NULL'),
                coalesce(', ' || quote_ident(v_only_column) || '::text = ' || quote_literal(v_only_value) || ' AS wanted', ''),
                CASE WHEN v_only_column IS NULL THEN '' ELSE ' WHERE v.wanted OR v.lacking' END)
            ELSE format(
                'BEGIN %s EXCEPTION WHEN OTHERS THEN'
                || ' BEGIN PERFORM headrace.log_change_anew(%L, %L, %s, %s, %L, %s);'
                || ' EXCEPTION WHEN OTHERS THEN INSERT INTO headrace.change_log (source, op) VALUES (%L, ''X''); END;'
                || ' RETURN NULL; END; INSERT INTO headrace.change_log (%s) VALUES (%L, %L, v_entity, v_scope, v_data, %s);%s',
                CASE
                    WHEN v_op = 'update' THEN format(
                        'IF NOT (%s)%s THEN RETURN NULL; END IF; v_entity := NEW.%I::text;%s',
                        v_watched,
                        coalesce(' OR (' || replace(v_only, '$row$', 'OLD.') || ') IS NOT TRUE AND (' || replace(v_only, '$row$', 'NEW.') || ') IS NOT TRUE', ''),
                        v_entity,
                        coalesce(' v_scope := NEW.' || quote_ident(v_scope) || '::text;', '')
                        || CASE
                            WHEN cardinality(v_left) > 0 THEN format(' IF %s THEN v_data := %s; END IF;', v_left_changed, v_data)
                            ELSE coalesce(' v_data := ' || v_data || ';', '') END
                        || format(' v_moved := OLD.%1$I IS DISTINCT FROM NEW.%1$I;', v_entity)
                        || format(' IF v_moved THEN v_old_entity := OLD.%I::text;%s END IF;', v_entity, coalesce(' v_old_scope := OLD.' || quote_ident(v_scope) || '::text;', '')))
                    ELSE coalesce('IF (' || replace(v_only, '$row$', v_row) || ') IS NOT TRUE THEN RETURN NULL; END IF; ', '')
                        || format('v_entity := %s%I::text;', v_row, v_entity) || coalesce(' v_scope := ' || v_row || quote_ident(v_scope) || '::text;', '')
                        || coalesce(' v_data := ' || v_data || ';', '')
                END,
                p_source, upper(left(v_op, 1) COLLATE "C"), CASE v_op WHEN 'insert' THEN 'NULL' ELSE 'to_jsonb(OLD)' END,
                CASE v_op WHEN 'delete' THEN 'NULL' ELSE 'to_jsonb(NEW)' END, v_spec, v_cause, p_source,
                v_columns, p_source, upper(left(v_op, 1) COLLATE "C"), v_cause,
                CASE v_op WHEN 'update' THEN format(
                    ' IF v_moved THEN INSERT INTO headrace.change_log (%s) VALUES (%L, ''U'', v_old_entity, v_old_scope, v_data, %s); END IF;',
                    v_columns, p_source, v_cause) ELSE '' END)
        END;
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION headrace.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER'
            || ' SET search_path = pg_catalog, headrace, pg_temp AS $body$ %sBEGIN %s RETURN NULL; END $body$',
            'capture_' || p_source || '_' || v_op,
            CASE WHEN v_op = 'truncate' OR v_op <> 'update' AND NOT v_by_row THEN ''
                WHEN v_op = 'update' THEN 'DECLARE v_entity text; v_scope text; v_data jsonb; v_moved boolean; v_old_entity text; v_old_scope text; '
                ELSE 'DECLARE v_entity text; v_scope text; v_data jsonb; ' END,
            v_body);
        EXECUTE format('REVOKE ALL ON FUNCTION headrace.%I() FROM PUBLIC', 'capture_' || p_source || '_' || v_op);

        -- %s stands for the table.
        v_trigger := CASE
            WHEN v_op = 'truncate' THEN 'AFTER TRUNCATE ON %s FOR EACH STATEMENT'
            WHEN v_op = 'update' OR v_by_row THEN 'AFTER ' || upper(v_op COLLATE "C") || ' ON %s FOR EACH ROW'
            ELSE 'AFTER ' || upper(v_op COLLATE "C") || ' ON %s REFERENCING '
                || CASE v_op WHEN 'delete' THEN 'OLD' ELSE 'NEW' END || ' TABLE AS changed_rows FOR EACH STATEMENT'
        END;
        v_triggers := v_triggers || jsonb_build_object(v_op, v_trigger);
        v_prints := v_prints || jsonb_build_object(v_op, md5(v_trigger || CASE v_op WHEN 'update' THEN v_watched || coalesce(v_only, '') ELSE '' END));
        v_functions := v_functions || jsonb_build_object(
            v_op, headrace.capture_fingerprint(format('headrace.%I()', 'capture_' || p_source || '_' || v_op)::regprocedure));
    END LOOP;

    -- A domain that wants the same as before misses nothing when others want more.
    missed := ARRAY(
        SELECT unnest(missed)
        UNION
        SELECT n.domain FROM jsonb_each(p_specs) n (domain, spec)
        WHERE NOT v_before.specs ? n.domain OR v_before.triggers <> v_prints AND (v_before.specs -> n.domain -> 'watch', v_before.specs -> n.domain -> 'only_column', v_before.specs -> n.domain -> 'only_value')
            IS DISTINCT FROM (n.spec -> 'watch', n.spec -> 'only_column', n.spec -> 'only_value'));
    PERFORM headrace.note_source(
        p_source, v_table, v_read::text[], v_prints, v_functions,
        (SELECT jsonb_object_agg(n.domain, n.spec - 'table') FROM jsonb_each(p_specs) n (domain, spec)));
    IF cardinality(v_others) > 0 THEN
        PERFORM headrace.note_source(p_source || ' others', v_table, v_others);
    ELSE
        DELETE FROM headrace.source s WHERE s.source = p_source || ' others';
    END IF;

    -- TRUNCATE of a partition does not fire its parent's trigger: every partition has its own. PostgreSQL clones row triggers to
    -- partitions, also when they are replaced because one of the clones was disabled.
    FOR v_op, v_target IN
        WITH fault AS MATERIALIZED (
            SELECT f.op, f.relation FROM headrace.capture_faults(ARRAY[p_source]) f WHERE f.fault <> 'function'  -- mended by now
        )
        SELECT o.op, t.relid
        FROM unnest(v_ops) WITH ORDINALITY o (op, place)
        CROSS JOIN LATERAL (SELECT v_table AS relid UNION SELECT t.relid FROM pg_partition_tree(v_table) t WHERE o.op = 'truncate') t
        WHERE EXISTS (
            SELECT FROM fault f WHERE f.op IS NULL OR f.op = o.op AND (f.relation = t.relid OR o.op <> 'truncate'))
        ORDER BY o.place, t.relid
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I ', '!headrace_' || v_op)
            || format(v_triggers ->> v_op, v_target) || format(' EXECUTE FUNCTION headrace.%I()', 'capture_' || p_source || '_' || v_op);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', v_target, '!headrace_' || v_op);
        EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', '!headrace_' || v_op, v_target, 'headrace ' || (v_prints ->> v_op));
        made := made + 1;
    END LOOP;

    -- Triggers on a table that had the name before, or on a partition that was detached.
    FOR v_op, v_target IN
        SELECT g.tgname, g.tgrelid
        FROM pg_trigger g
        WHERE g.tgparentid = 0
            AND g.tgfoid = ANY (ARRAY(SELECT format('headrace.%I()', 'capture_' || p_source || '_' || o)::regprocedure FROM unnest(v_ops) o))
            AND g.tgrelid <> v_table AND NOT EXISTS (SELECT FROM pg_partition_tree(v_table) t WHERE t.relid = g.tgrelid)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', v_op, v_target);
    END LOOP;
END
$capture$;
