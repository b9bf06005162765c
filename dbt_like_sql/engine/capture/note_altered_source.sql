-- purpose: queues a rebuild of what may count differently after a table changed without firing triggers (ALTER, partitions added or removed)
-- grain:   one source; how much was queued; 0 if the table cannot be read, is unchanged, or another session is at it
-- reads:   headrace.source, headrace.stream, pg_class, source_problems, source_columns, source_parts, source_storage
-- writes:  headrace.source, and what the streams' rebuild_all and rows_left write
-- locks:   its row in headrace.source (SKIP LOCKED), and what rebuild_all and rows_left lock
--
-- A column counts as changed if another column has taken its name, or if it was altered and the rows were rewritten since they were
-- noted: a default, NOT NULL, or a rename there and back leave rows alone. A new partition that is empty has changed nothing.
CREATE OR REPLACE FUNCTION headrace.note_altered_source(p_source text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    s headrace.source;
    t record;
    v_columns text[];
    v_parts oid[];
    v_changed boolean;
    v_left boolean;
    v_queued bigint := 0;
    v_more bigint;
BEGIN
    SELECT * INTO s FROM headrace.source x WHERE x.source = p_source FOR UPDATE SKIP LOCKED;
    v_columns := ARRAY(SELECT jsonb_object_keys(s.columns));
    IF NOT FOUND OR EXISTS (SELECT FROM headrace.source_problems(ARRAY[p_source])) THEN
        RETURN 0;
    END IF;
    v_parts := headrace.source_parts(s.relid);
    SELECT bool_or(k.now ->> 'number' <> n.noted ->> 'number'
        OR k.now ->> 'version' <> n.noted ->> 'version' AND headrace.source_storage(s.relid) <> s.storage)
    INTO v_changed
    FROM jsonb_each(s.columns) n (name, noted)
    INNER JOIN jsonb_each(headrace.source_columns(s.relid, v_columns)) k (name, now) ON k.name = n.name;
    v_changed := coalesce(v_changed, false) OR EXISTS (
        SELECT FROM unnest(v_parts) p INNER JOIN pg_class c ON c.oid = p
        WHERE p <> ALL (s.parts) AND (pg_relation_size(p) > 0 OR c.relkind = 'f'));
    v_left := EXISTS (SELECT FROM unnest(s.parts) p WHERE p <> ALL (v_parts));
    FOR t IN SELECT m.* FROM headrace.stream m WHERE p_source = ANY (m.sources) ORDER BY m.stream LOOP
        v_more := 0;
        IF v_changed AND t.rebuild_all IS NOT NULL THEN
            EXECUTE format('SELECT %s()', t.rebuild_all) INTO v_more;
        ELSIF v_left AND t.rows_left IS NOT NULL THEN
            EXECUTE format('SELECT %s($1)', t.rows_left) INTO v_more USING p_source;
        END IF;
        v_queued := v_queued + v_more;
    END LOOP;
    PERFORM headrace.note_source(p_source, s.relid, v_columns);
    RETURN v_queued;
END
$$;
