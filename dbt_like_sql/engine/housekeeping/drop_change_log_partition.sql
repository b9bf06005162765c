-- purpose: drops a UTC day's partition of the change log once no stream needs it; a stream idle longer than p_lost_after is marked lost instead
-- grain:   one partition; returns dropped, needed or gone
-- reads:   the partition, headrace.stream_cursor, headrace.installation
-- writes:  drops headrace.change_log_<yyyymmdd>; stream_cursor.state
-- locks:   the cursors' rows, then ACCESS EXCLUSIVE on change_log (each given up after 80 ms) and the partition (after 20 ms): writers wait
--
-- Whatever the caller asks for, no partition within the retention that migrate noted is dropped, and no stream is marked lost before
-- the time that migrate noted.
CREATE OR REPLACE FUNCTION headrace.drop_change_log_partition(p_day date, p_lost_after interval) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET lock_timeout = '80ms'
AS $$
DECLARE
    v_name constant text := 'change_log_' || to_char(p_day, 'YYYYMMDD');
    v_end constant timestamptz := (p_day + 1)::timestamp AT TIME ZONE 'UTC';
    v_needed boolean;
    c record;
BEGIN
    IF to_regclass('headrace.' || v_name) IS NULL THEN
        RETURN 'gone';
    END IF;
    IF v_end >= now() - headrace.noted_interval('change_retention_seconds') THEN
        RETURN 'needed';
    END IF;
    -- Cursors first, as a step does; then the log; then, in new statements, the check: a transaction from before
    -- midnight may have committed into the partition while we waited. Once we hold the log, only autovacuum and
    -- sessions that named the partition can hold it: we wait only briefly for them, because now all writers wait for us.
    PERFORM FROM headrace.stream_cursor ORDER BY stream, shard FOR UPDATE;
    LOCK TABLE ONLY headrace.change_log IN ACCESS EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '20ms', true);
    EXECUTE format('LOCK TABLE headrace.%I IN ACCESS EXCLUSIVE MODE', v_name);
    FOR c IN SELECT * FROM headrace.stream_cursor WHERE state = 'active' LOOP
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM headrace.%1$I WHERE xid >= pg_snapshot_xmax($1))'
            || ' OR EXISTS (SELECT FROM headrace.%1$I WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1))))', v_name)
        INTO v_needed USING c.prev;
        IF v_needed AND v_end >= now() - greatest(p_lost_after, headrace.noted_interval('stream_lost_after_seconds')) THEN
            RETURN 'needed';
        ELSIF v_needed THEN
            UPDATE headrace.stream_cursor SET state = 'lost' WHERE stream = c.stream AND shard = c.shard;
        END IF;
    END LOOP;
    EXECUTE format('DROP TABLE headrace.%I', v_name);
    RETURN 'dropped';
END
$$;
