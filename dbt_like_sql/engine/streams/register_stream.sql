-- purpose: creates a stream and its cursors, starting now; called again, it updates everything but the number of shards
-- grain:   one stream; for a new one, how much waits to be recomputed. Only rebase_stream changes the number of shards
-- reads:   headrace.stream_cursor, and what rebuilds_pending reads
-- writes:  headrace.stream, and for a new stream what its rebuild_new and rebase_stream write
-- locks:   the stream's row, and for a new stream what its rebuild_new and rebase_stream lock
--
-- p_rebuild_new() queues what the stream does not have yet, most wanted first. p_rebuild_all() queues everything: when the stream is new or
-- comes back, its domain's definition changed, or changes of a source may have gone unseen. p_on_setting: functions by setting;
-- migrate calls that of each setting whose value changed. p_unit: a noun for what all these count.
CREATE OR REPLACE FUNCTION headrace.register_stream(
    p_stream text, p_sources text[], p_handler text, p_shards integer DEFAULT 1, p_ordered boolean DEFAULT false,
    p_rebuild_step text DEFAULT NULL, p_rebuilds_pending text DEFAULT NULL, p_rebuild_all text DEFAULT NULL, p_rows_left text DEFAULT NULL,
    p_rebuild_pick text DEFAULT NULL, p_rebuild_items text DEFAULT NULL, p_rebuild_put_off text DEFAULT NULL,
    p_domain text DEFAULT NULL, p_rebuild_new text DEFAULT NULL, p_on_setting jsonb DEFAULT '{}', p_unit text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_queued bigint := 0;
BEGIN
    IF to_regprocedure(p_handler || '(headrace.change_log[])') IS NULL THEN
        RAISE EXCEPTION 'stream %: there is no function %(headrace.change_log[]); create it first', p_stream, p_handler
            USING ERRCODE = 'undefined_function';
    END IF;
    INSERT INTO headrace.stream AS s (
        stream, sources, handler, shards, ordered, rebuild_step, rebuilds_pending, rebuild_all, rows_left,
        rebuild_pick, rebuild_items, rebuild_put_off, domain, rebuild_new, on_setting, unit)
    VALUES (
        p_stream, p_sources, p_handler, p_shards, p_ordered, p_rebuild_step, p_rebuilds_pending, p_rebuild_all, p_rows_left,
        p_rebuild_pick, p_rebuild_items, p_rebuild_put_off, p_domain, p_rebuild_new, p_on_setting, p_unit)
    ON CONFLICT (stream) DO UPDATE SET
        sources = excluded.sources, handler = excluded.handler, ordered = excluded.ordered,
        rebuild_step = excluded.rebuild_step, rebuilds_pending = excluded.rebuilds_pending, rebuild_all = excluded.rebuild_all,
        rows_left = excluded.rows_left,
        rebuild_pick = excluded.rebuild_pick, rebuild_items = excluded.rebuild_items, rebuild_put_off = excluded.rebuild_put_off,
        domain = excluded.domain, rebuild_new = excluded.rebuild_new, on_setting = excluded.on_setting, unit = excluded.unit;
    IF NOT EXISTS (SELECT FROM headrace.stream_cursor WHERE stream = p_stream) THEN
        IF p_rebuild_new IS NOT NULL THEN
            EXECUTE format('SELECT %s()', p_rebuild_new) INTO v_queued;
        END IF;
        PERFORM headrace.rebase_stream(p_stream, p_shards);
        IF p_rebuilds_pending IS NOT NULL THEN
            EXECUTE format('SELECT %s(p_patient => false)', p_rebuilds_pending) INTO v_queued;
        END IF;
    END IF;
    RETURN v_queued;
END
$$;
