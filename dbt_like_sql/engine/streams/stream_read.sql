-- purpose: takes the next batch of a shard's window, opening a window if none is open, and moves the cursor past it
-- grain:   at least one change, up to p_limit and about 64 MB, in order of pos; null if another worker holds the shard, empty if there is nothing
-- reads:   headrace.stream, headrace.change_log, pg_control_system
-- writes:  headrace.stream_cursor; a headrace.dead_letter for a change too wide to pass on; commits or rolls back with the batch's effects
-- locks:   the cursor's row, with SKIP LOCKED: no leader is needed
--
-- Lock, snapshot and batch are three statements of one READ COMMITTED transaction (the function is VOLATILE, so each statement takes
-- its own snapshot). A single statement would read with a snapshot from before the lock was granted.
--
-- Batches are measured only if the window has a change wider than its share of a batch; the widest is noted when the window opens.
CREATE OR REPLACE FUNCTION headrace.stream_read(p_stream text, p_shard integer, p_limit integer)
RETURNS headrace.change_log[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    s headrace.stream;
    c headrace.stream_cursor;
    v_opened boolean := false;
    v_scanned bigint;
    v_committed xid8[];
    v_low xid8;
    v_high xid8;
    v_batch headrace.change_log[];
    v_cut bigint;
    v_width bigint;
    v_passed bigint;
    v_last bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'streams are read in READ COMMITTED transactions, not %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    SELECT * INTO c FROM headrace.stream_cursor k WHERE k.stream = p_stream AND k.shard = p_shard FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF c.system_identifier <> (SELECT system_identifier FROM pg_control_system())
        OR c.database_name <> current_database() OR pg_snapshot_xmax(c.prev) > pg_snapshot_xmax(pg_current_snapshot())
    THEN
        RAISE EXCEPTION 'stream % stands in another cluster or in the future (restored or cloned database?); run: headrace streams rebase %', p_stream, p_stream
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF c.state = 'lost' THEN
        RAISE EXCEPTION 'stream % was idle for too long and lost its place; run: headrace streams rebase %', p_stream, p_stream
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT * INTO s FROM headrace.stream t WHERE t.stream = p_stream;
    IF c.cur IS NULL THEN
        SELECT pg_current_snapshot() INTO c.cur;
        v_opened := true;
    END IF;
    v_committed := ARRAY(SELECT x FROM pg_snapshot_xip(c.prev) x WHERE pg_visible_in_snapshot(x, c.cur));
    v_low := pg_snapshot_xmax(c.prev);
    v_high := pg_snapshot_xmax(c.cur);

    IF v_opened THEN
        -- OFFSET 0 keeps the planner from computing min and max by walking the index on pos through the whole log.
        SELECT count(*), count(*) FILTER (WHERE w.ours), coalesce(min(w.pos) FILTER (WHERE w.ours) - 1, 0), coalesce(max(w.pos) FILTER (WHERE w.ours), 0), max(w.width) FILTER (WHERE w.ours)
        INTO v_scanned, c.window_rows, c.pos, c.last_pos, c.window_widest
        FROM (
            SELECT u.pos, u.width, u.source = ANY (s.sources)
                AND (s.shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, s.shards) = p_shard) AS ours
            FROM (
                SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause) AS width
                FROM headrace.change_log l WHERE l.xid = ANY (v_committed)
                UNION ALL
                SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause)
                FROM headrace.change_log l WHERE l.xid >= v_low AND l.xid < v_high
            ) u
            WHERE pg_visible_in_snapshot(u.xid, c.cur)
            OFFSET 0
        ) w;
    END IF;

    c.window_left := CASE WHEN v_opened THEN c.window_rows ELSE coalesce(c.window_left, c.window_rows) END;
    IF c.window_rows > 0 AND coalesce(c.window_widest, 67108864) * p_limit > 67108864 THEN
        SELECT t.last_pos, t.first_width INTO v_cut, v_width FROM headrace.changes_that_fit(s.sources, s.shards, c, v_committed, p_limit) t;
    END IF;
    v_last := coalesce(v_cut, c.last_pos);

    IF c.window_rows = 0 THEN
        v_batch := '{}';
        IF v_scanned = 0 THEN
            RETURN v_batch;  -- nothing at all: leave the cursor, write no WAL
        END IF;
    ELSIF v_width > 134217728 THEN
        -- Any processing would take as much memory again, so it is kept without its wide parts.
        INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, error_code, error)
        SELECT
            p_stream, p_shard, ROW(l.pos, l.xid, l.changed_at, l.source, l.op, left(l.entity_id, 200), left(l.scope, 200), NULL, left(l.cause, 200))::headrace.change_log,
            l.pos, left(l.entity_id, 200), 'P0H01',
            format('the change takes %s bytes, more than can be handed on; it is kept cut: count again what it is of, then discard it', v_width)
        FROM headrace.change_log l WHERE l.pos = v_cut;
        v_batch := '{}';
    ELSIF c.window_rows <= 4 * p_limit THEN
        SELECT array_agg(w.change ORDER BY w.pos) INTO v_batch FROM (
            SELECT u.pos, u.change FROM (
                -- The cut must be here, before whole changes are copied; + 0 keeps the planner off the index on pos.
                SELECT l.pos, l.xid, l.source, l.entity_id, l AS change FROM headrace.change_log l
                WHERE l.xid = ANY (v_committed) AND l.pos + 0 <= v_last
                UNION ALL
                SELECT l.pos, l.xid, l.source, l.entity_id, l AS change FROM headrace.change_log l
                WHERE l.xid >= v_low AND l.xid < v_high AND l.pos + 0 <= v_last
                OFFSET 0
            ) u
            WHERE u.pos > c.pos AND pg_visible_in_snapshot(u.xid, c.cur) AND u.source = ANY (s.sources)
                AND (s.shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, s.shards) = p_shard)
            ORDER BY u.pos LIMIT p_limit
        ) w;
    ELSE
        -- A large window is mostly one bulk transaction, dense in pos: scan by pos.
        SELECT array_agg(w.change ORDER BY w.pos) INTO v_batch FROM (
            SELECT l.pos, l AS change FROM headrace.change_log l
            WHERE l.pos > c.pos AND l.pos <= v_last
                AND (l.xid = ANY (v_committed) OR l.xid >= v_low AND l.xid < v_high)
                AND pg_visible_in_snapshot(l.xid, c.cur) AND l.source = ANY (s.sources)
                AND (s.shards = 1 OR mod(hashtextextended(coalesce(l.entity_id, ''), 0) & 9223372036854775807, s.shards) = p_shard)
            ORDER BY l.pos LIMIT p_limit
        ) w;
    END IF;
    v_batch := coalesce(v_batch, '{}');

    v_passed := CASE WHEN v_width > 134217728 THEN 1 ELSE cardinality(v_batch) END;
    v_last := CASE WHEN v_cut IS NULL THEN (v_batch[cardinality(v_batch)]).pos ELSE v_cut END;

    IF v_cut IS NULL AND cardinality(v_batch) < p_limit OR v_last >= c.last_pos THEN
        UPDATE headrace.stream_cursor k SET
            prev = c.cur, cur = NULL, pos = 0, last_pos = NULL, window_rows = NULL, window_left = NULL, window_widest = NULL,
            changes_applied = k.changes_applied + v_passed, advanced_at = clock_timestamp()
        WHERE k.stream = p_stream AND k.shard = p_shard;
    ELSE
        UPDATE headrace.stream_cursor k SET
            cur = c.cur, pos = v_last, last_pos = c.last_pos, window_rows = c.window_rows,
            window_left = greatest(c.window_left - v_passed, 0), window_widest = c.window_widest,
            changes_applied = k.changes_applied + v_passed, advanced_at = clock_timestamp()
        WHERE k.stream = p_stream AND k.shard = p_shard;
    END IF;
    RETURN v_batch;
END
$$;
