-- purpose: how many of a window's next changes fit into a batch of 64 MB; with wide changes the number of rows is no bound
-- grain:   one batch for stream_read: pos of the last change that fits (of the first if that alone is wider), and the first one's width
-- reads:   headrace.change_log
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.changes_that_fit(
    p_sources text[], p_shards integer, c headrace.stream_cursor, p_committed xid8[], p_limit integer, OUT last_pos bigint, OUT first_width bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_low constant xid8 := pg_snapshot_xmax(c.prev);
    v_high constant xid8 := pg_snapshot_xmax(c.cur);
    v_pos bigint;
    v_width bigint;
    v_bytes bigint := 0;
BEGIN
    -- By pos, or by xid and sorted, as stream_read does. In a loop, because the batch may end after a few changes.
    FOR v_pos, v_width IN
        SELECT u.pos, u.width FROM (
            SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause) AS width
            FROM headrace.change_log l WHERE c.window_rows <= 4 * p_limit AND l.xid = ANY (p_committed)
            UNION ALL
            SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause)
            FROM headrace.change_log l WHERE c.window_rows <= 4 * p_limit AND l.xid >= v_low AND l.xid < v_high
            UNION ALL
            (SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause)
            FROM headrace.change_log l
            WHERE c.window_rows > 4 * p_limit AND l.pos > c.pos AND l.pos <= c.last_pos AND (l.xid = ANY (p_committed) OR l.xid >= v_low AND l.xid < v_high)
                AND pg_visible_in_snapshot(l.xid, c.cur) AND l.source = ANY (p_sources)
                AND (p_shards = 1 OR mod(hashtextextended(coalesce(l.entity_id, ''), 0) & 9223372036854775807, p_shards) = c.shard)
            ORDER BY l.pos LIMIT p_limit)
        ) u
        WHERE u.pos > c.pos AND pg_visible_in_snapshot(u.xid, c.cur) AND u.source = ANY (p_sources)
            AND (p_shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, p_shards) = c.shard)
        ORDER BY u.pos LIMIT p_limit
    LOOP
        v_bytes := v_bytes + v_width;
        EXIT WHEN last_pos IS NOT NULL AND v_bytes > 67108864;
        last_pos := v_pos;
        first_width := coalesce(first_width, v_width);
    END LOOP;
END
$$;
