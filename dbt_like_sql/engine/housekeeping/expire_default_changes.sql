-- purpose: deletes changes from the change log's DEFAULT partition that are past retention and that every stream has read
-- grain:   the next p_limit changes after p_after, by pos; how many were deleted, and the pos to continue after; null if none of them is old
-- reads:   headrace.stream_cursor, headrace.installation
-- writes:  headrace.change_log_default; stream_cursor.state: a stream that has not read changes older than p_lost_after is marked lost
-- locks:   the deleted rows, and cursors that are marked lost
--
-- Does what drop_change_log_partition does with a whole day. It need not lock cursors: they only move forward, and what one has read
-- stays read.
CREATE OR REPLACE FUNCTION headrace.expire_default_changes(
    p_retention interval, p_lost_after interval, p_after bigint DEFAULT 0, p_limit integer DEFAULT 10000,
    OUT deleted bigint, OUT last_pos bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET lock_timeout = '80ms'
AS $$
DECLARE
    -- Whole days, as with partitions.
    v_expired constant timestamptz := date_trunc('day', now() - greatest(p_retention, headrace.noted_interval('change_retention_seconds')), 'UTC');
    v_lost constant timestamptz := date_trunc('day', now() - greatest(p_lost_after, headrace.noted_interval('stream_lost_after_seconds')), 'UTC');
    v_pos bigint[];
BEGIN
    SELECT array_agg(l.pos ORDER BY l.pos) FILTER (WHERE l.changed_at < v_expired), max(l.pos) INTO v_pos, last_pos
    FROM (SELECT d.pos, d.changed_at FROM headrace.change_log_default d WHERE d.pos > p_after ORDER BY d.pos LIMIT least(greatest(p_limit, 0), 100000)) l;
    deleted := 0;
    IF v_pos IS NULL THEN
        last_pos := NULL;
        RETURN;
    END IF;
    UPDATE headrace.stream_cursor k SET state = 'lost'
    WHERE k.state = 'active' AND EXISTS (
        SELECT FROM headrace.change_log_default d
        WHERE d.pos = ANY (v_pos) AND d.changed_at < v_lost AND NOT pg_visible_in_snapshot(d.xid, k.prev));
    DELETE FROM headrace.change_log_default d
    WHERE d.pos = ANY (v_pos)
        AND NOT EXISTS (SELECT FROM headrace.stream_cursor k WHERE k.state = 'active' AND NOT pg_visible_in_snapshot(d.xid, k.prev));
    GET DIAGNOSTICS deleted = ROW_COUNT;
END
$$;
