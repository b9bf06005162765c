-- purpose: how many changes each shard of each stream has yet to apply, counted up to a limit, and the time of the oldest
-- grain:   one row per stream and shard; more_behind: there are more than were counted
-- reads:   headrace.stream_cursor, headrace.stream, headrace.change_log (by xid, and one change by pos)
-- writes:  nothing
-- locks:   none
--
-- What is left of an open window is in its cursor. Beyond it at most p_most changes are read, oldest transactions first, so that the
-- age is right. If a stream reads few of them, fewer than p_most are counted and more_behind is true all the same. Always by index:
-- after a bulk load without ANALYZE the planner would rather read and sort everything.
CREATE OR REPLACE FUNCTION headrace.changes_behind(p_most bigint DEFAULT 100000)
RETURNS TABLE (stream text, shard integer, rows_behind bigint, more_behind boolean, oldest_change timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET enable_sort = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    c record;
    v_seen pg_snapshot;
    v_low xid8;
    v_late xid8[];
    v_window timestamptz;
BEGIN
    p_most := least(greatest(p_most, 0), 1000000);
    FOR c IN SELECT k.*, s.sources, s.shards FROM headrace.stream_cursor k INNER JOIN headrace.stream s ON s.stream = k.stream ORDER BY k.stream, k.shard LOOP
        v_seen := coalesce(c.cur, c.prev);
        v_low := pg_snapshot_xmax(v_seen);
        v_late := ARRAY(SELECT x FROM pg_snapshot_xip(v_seen) x WHERE pg_visible_in_snapshot(x, pg_current_snapshot()));
        SELECT count(*) FILTER (WHERE b.ours), count(*) > p_most, min(b.changed_at) FILTER (WHERE b.ours)
        INTO rows_behind, more_behind, oldest_change
        FROM (
            SELECT u.changed_at, u.source = ANY (c.sources)
                AND (c.shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, c.shards) = c.shard) AS ours
            FROM (
                (SELECT l.changed_at, l.source, l.entity_id FROM headrace.change_log l WHERE l.xid = ANY (v_late) LIMIT p_most + 1)
                UNION ALL
                (SELECT l.changed_at, l.source, l.entity_id FROM headrace.change_log l WHERE l.xid >= v_low ORDER BY l.xid LIMIT p_most + 1)
            ) u
            LIMIT p_most + 1
        ) b;
        rows_behind := least(rows_behind, p_most);
        IF c.cur IS NOT NULL THEN
            rows_behind := rows_behind + coalesce(c.window_left, c.window_rows);
            SELECT l.changed_at INTO v_window FROM headrace.change_log l WHERE l.pos > c.pos AND l.pos <= c.last_pos ORDER BY l.pos LIMIT 1;
            oldest_change := least(oldest_change, v_window);
        END IF;
        stream := c.stream;
        shard := c.shard;
        RETURN NEXT;
    END LOOP;
END
$$;
