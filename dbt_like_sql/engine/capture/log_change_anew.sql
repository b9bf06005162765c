-- purpose: logs a change whose row a capture function could not read as planned: by column name, or as unreadable
-- grain:   one change of one row; p_spec: the source's entity, scope, keys, left, watch, only_column, only_value, as capture_table has them
-- reads:   nothing
-- writes:  headrace.change_log
-- locks:   none
--
-- There are two causes. Either the session still has a plan for a column's old type: the row is read all the same. Or a column is
-- gone: then nobody knows what changed, and a single X per transaction stands for the whole table.
CREATE OR REPLACE FUNCTION headrace.log_change_anew(
    p_source text, p_op "char", p_old jsonb, p_new jsonb, p_spec jsonb, p_cause text
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_row constant jsonb := coalesce(p_new, p_old);
    v_entity constant text := p_spec ->> 'entity';
    v_scope constant text := p_spec ->> 'scope';
    v_only constant text := p_spec ->> 'only_column';
    v_keys constant text[] := ARRAY(SELECT jsonb_array_elements_text(p_spec -> 'keys'));
    v_left constant text[] := ARRAY(SELECT jsonb_array_elements_text(p_spec -> 'left'));
    v_watch constant text[] := ARRAY(SELECT jsonb_array_elements_text(p_spec -> 'watch'));
    v_old jsonb;
    v_new jsonb;
    v_data jsonb;
BEGIN
    IF NOT v_row ?& (v_keys || v_left || v_watch || array_remove(ARRAY[v_entity, v_scope, v_only], NULL)) THEN
        IF current_setting('headrace.not_readable', true) IS DISTINCT FROM p_source || ' ' || pg_current_xact_id() THEN
            INSERT INTO headrace.change_log (source, op, cause) VALUES (p_source, 'X', p_cause);
            PERFORM set_config('headrace.not_readable', p_source || ' ' || pg_current_xact_id(), true);
        END IF;
        RETURN;
    END IF;
    IF p_op = 'U' AND NOT EXISTS (SELECT FROM unnest(v_watch) w WHERE p_old -> w IS DISTINCT FROM p_new -> w) THEN
        RETURN;
    END IF;
    IF v_only IS NOT NULL AND (coalesce(p_old ->> v_only = p_spec ->> 'only_value', false) OR coalesce(p_new ->> v_only = p_spec ->> 'only_value', false)) IS FALSE THEN
        RETURN;
    END IF;
    v_old := (SELECT jsonb_object_agg(k, p_old ->> k) FROM unnest(v_keys || v_left) k WHERE p_old IS NOT NULL);
    v_new := (SELECT jsonb_object_agg(k, p_new ->> k) FROM unnest(v_keys) k WHERE p_new IS NOT NULL);
    v_data := CASE
        WHEN p_op = 'U' AND cardinality(v_left) > 0
            THEN CASE WHEN EXISTS (SELECT FROM unnest(v_left) k WHERE p_old -> k IS DISTINCT FROM p_new -> k) THEN jsonb_build_object('old', v_old) END
        WHEN v_old IS NOT NULL AND v_new IS NOT NULL THEN jsonb_build_object('old', v_old, 'new', v_new)
        WHEN v_old IS NOT NULL THEN jsonb_build_object('old', v_old)
        WHEN v_new IS NOT NULL THEN jsonb_build_object('new', v_new)
    END;
    INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause)
    SELECT p_source, p_op, r.entry ->> v_entity, r.entry ->> v_scope, v_data, p_cause
    FROM (
        SELECT v_row AS entry
        UNION ALL
        SELECT p_old WHERE p_op = 'U' AND p_old -> v_entity IS DISTINCT FROM p_new -> v_entity
    ) r;
END
$$;
