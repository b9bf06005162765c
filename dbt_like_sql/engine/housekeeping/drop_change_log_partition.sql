-- purpose: drops the change log's partition of one UTC day once no stream needs it; a stream idle past p_lost_after is marked lost instead of holding it
-- grain:   one partition
-- reads:   the partition, headrace.stream_cursor, headrace.installation
-- writes:  drops headrace.change_log_<yyyymmdd>; stream_cursor.state; answers dropped, needed or gone
-- locks:   ACCESS EXCLUSIVE on change_log and the partition, given up after 80 and 20 ms: what writers wait for
--
-- Whatever is asked for, nothing goes that is younger than the retention that migrate noted, and no stream is lost earlier
-- than after the time that it noted.
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
    -- Cursors first, as a step does; then the log; then, in new statements, what is needed: a transaction from before
    -- midnight may have committed into the partition while we waited. With the log itself nobody has a partition of it
    -- but autovacuum, and who read the partition by name: these are not waited for long, for now everybody waits for us.
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
