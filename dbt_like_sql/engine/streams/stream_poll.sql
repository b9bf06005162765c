-- purpose: which shards of which streams have work; idle workers ask only this, and it neither locks nor writes
-- grain:   one row per stream and shard with work: change, rebuild, altered, paused (these three: shard -1), mismatch or lost
-- reads:   headrace.stream_cursor, headrace.stream, headrace.change_log (by its index on xid), altered_sources, and what rebuilds_pending reads
-- writes:  nothing
-- locks:   none
--
-- altered: a source table is not as noted (what: which one). paused: one cannot be read (what: why). mismatch: the cursor comes from
-- another cluster or database. p_patient: leave out rebuilds that the stream would rather put off. p_look: also look for altered
-- source tables, which costs as much as the rest; a caller that polls every few milliseconds sets it only now and then.
CREATE OR REPLACE FUNCTION headrace.stream_poll(p_streams text[] DEFAULT NULL, p_patient boolean DEFAULT false, p_look boolean DEFAULT true)
RETURNS TABLE (stream text, shard integer, work text, what text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_now constant pg_snapshot := pg_current_snapshot();
    v_xmax constant xid8 := pg_snapshot_xmax(v_now);
    v_cluster constant bigint := (SELECT system_identifier FROM pg_control_system());
    v_committed xid8[];
    v_low xid8;
    v_high xid8;
    v_first boolean;
    v_paused text[] := '{}';
    v_pending text;
    v_waiting bigint;
    c record;
BEGIN
    IF p_look THEN
        FOR stream, shard, work, what IN
            SELECT
                s.stream, -1, CASE WHEN a.problem IS NULL THEN 'altered' ELSE 'paused' END, coalesce(a.problem, a.source)
            FROM headrace.altered_sources() a INNER JOIN headrace.stream s ON a.source = ANY (s.sources)
            WHERE p_streams IS NULL OR s.stream = ANY (p_streams) ORDER BY s.stream, a.source
        LOOP
            IF work = 'paused' THEN
                v_paused := v_paused || stream;
            END IF;
            RETURN NEXT;
        END LOOP;
        what := NULL;
    END IF;
    FOR c IN
        SELECT k.* FROM headrace.stream_cursor k WHERE (p_streams IS NULL OR k.stream = ANY (p_streams)) AND k.stream <> ALL (v_paused)
        ORDER BY k.stream, k.shard
    LOOP
        stream := c.stream;
        shard := c.shard;
        work := NULL;
        v_low := pg_snapshot_xmax(c.prev);
        IF c.system_identifier <> v_cluster OR c.database_name <> current_database() OR v_low > v_xmax THEN
            work := 'mismatch';
        ELSIF c.state = 'lost' THEN
            work := 'lost';
        ELSIF c.cur IS NOT NULL THEN
            work := 'change';
        ELSE
            v_committed := ARRAY(SELECT x FROM pg_snapshot_xip(c.prev) x WHERE pg_visible_in_snapshot(x, v_now));
            IF v_committed <> '{}' AND EXISTS (SELECT FROM headrace.change_log l WHERE l.xid = ANY (v_committed)) THEN
                work := 'change';
            END IF;
            -- Searches only between running transactions, so that polls do not scan a bulk load in progress again and again.
            v_first := true;
            IF work IS NULL AND v_low < v_xmax THEN
                FOR v_high IN
                    SELECT x FROM pg_snapshot_xip(v_now) x WHERE x >= v_low UNION ALL SELECT v_xmax ORDER BY 1
                LOOP
                    IF v_first AND EXISTS (SELECT FROM headrace.change_log l WHERE l.xid >= v_low AND l.xid < v_high)
                        OR NOT v_first AND EXISTS (SELECT FROM headrace.change_log l WHERE l.xid > v_low AND l.xid < v_high)
                    THEN
                        work := 'change';
                        EXIT;
                    END IF;
                    v_low := v_high;
                    v_first := false;
                END LOOP;
            END IF;
        END IF;
        IF work IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
    shard := -1;
    work := 'rebuild';
    FOR stream, v_pending IN
        SELECT s.stream, s.rebuilds_pending FROM headrace.stream s
        WHERE s.rebuilds_pending IS NOT NULL AND (p_streams IS NULL OR s.stream = ANY (p_streams)) AND s.stream <> ALL (v_paused)
        ORDER BY s.stream
    LOOP
        -- Only whether there is one; stream_rebuilds counts them.
        EXECUTE format('SELECT %s(p_patient => $1, p_most => 1)', v_pending) INTO v_waiting USING p_patient;
        IF v_waiting > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
