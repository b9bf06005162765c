-- purpose: restarts a stream from now (after a restore, a clone, or when it was lost) and queues a rebuild of all it derives
-- grain:   one stream, with all its cursors; p_shards: its new number of shards, null: as it is
-- reads:   pg_control_system, pg_class, headrace.source
-- writes:  headrace.stream_cursor, stream.shards, headrace.source, dead_letter (deletes the stream's), change_log, and what rebuild_all writes
-- locks:   the rows of the stream and its cursors, and what rebuild_all locks
CREATE OR REPLACE FUNCTION headrace.rebase_stream(p_stream text, p_shards integer DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_shards integer;
    v_rebuild_all text;
BEGIN
    UPDATE headrace.stream SET shards = coalesce(p_shards, shards) WHERE stream = p_stream 
    RETURNING shards, rebuild_all INTO v_shards, v_rebuild_all;
    IF v_shards IS NULL THEN
        RAISE EXCEPTION 'there is no stream %', p_stream USING ERRCODE = 'no_data_found';
    END IF;
    DELETE FROM headrace.stream_cursor WHERE stream = p_stream;
    DELETE FROM headrace.dead_letter WHERE stream = p_stream;
    -- Restored rows may have transaction ids of the former cluster: they would be read again once this one reaches those ids.
    IF NOT EXISTS (SELECT FROM headrace.stream_cursor) THEN
        DELETE FROM headrace.change_log WHERE xid >= pg_snapshot_xmax(pg_current_snapshot());
    END IF;
    -- A restore renumbers tables and columns: tables whose columns all match what was noted are noted again.
    PERFORM headrace.note_source(s.source, c.oid, ARRAY(SELECT jsonb_object_keys(s.columns)))
    FROM headrace.source s
    INNER JOIN headrace.stream t ON t.stream = p_stream AND split_part(s.source, ' others', 1) = ANY (t.sources)
    INNER JOIN pg_class c ON c.relname = s.table_name AND c.relkind IN ('r', 'p')
    INNER JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schema_name
    WHERE c.oid <> s.relid AND NOT EXISTS (SELECT FROM pg_class g WHERE g.oid = s.relid AND g.relkind IN ('r', 'p'))
        AND NOT EXISTS (
            SELECT FROM jsonb_each(s.columns) k (name, noted)
            WHERE headrace.source_columns(c.oid, ARRAY[k.name]) -> k.name ->> 'written' IS DISTINCT FROM k.noted ->> 'written');
    INSERT INTO headrace.stream_cursor (stream, shard, prev, system_identifier, database_name)
    SELECT p_stream, n, pg_current_snapshot(), (SELECT system_identifier FROM pg_control_system()), current_database()
    FROM generate_series(0, v_shards - 1) n;
    IF v_rebuild_all IS NOT NULL THEN
        EXECUTE format('SELECT %s()', v_rebuild_all);
    END IF;
END
$$;
