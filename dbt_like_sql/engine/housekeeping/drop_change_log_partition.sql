-- purpose: drops the change log's partition of one UTC day once no stream needs it; a stream idle past p_lost_after is marked lost instead of holding it
-- grain:   one partition
-- reads:   the partition, headrace.stream_cursor
-- writes:  drops headrace.change_log_<yyyymmdd>; stream_cursor.state; answers dropped, needed or gone
-- locks:   ACCESS EXCLUSIVE on change_log and the partition, given up after 100 ms
CREATE OR REPLACE FUNCTION headrace.drop_change_log_partition(p_day date, p_lost_after interval) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_name constant text := 'change_log_' || to_char(p_day, 'YYYYMMDD');
    v_needed boolean;
    c record;
BEGIN
    IF to_regclass('headrace.' || v_name) IS NULL THEN
        RETURN 'gone';
    END IF;
    -- Cursors first, as a step does; then the log; then, in new statements, what is needed: a transaction from before
    -- midnight may have committed into the partition while we waited.
    PERFORM FROM headrace.stream_cursor ORDER BY stream, shard FOR UPDATE;
    LOCK TABLE headrace.change_log IN ACCESS EXCLUSIVE MODE;
    FOR c IN SELECT * FROM headrace.stream_cursor WHERE state = 'active' LOOP
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM headrace.%1$I WHERE xid >= pg_snapshot_xmax($1))'
            || ' OR EXISTS (SELECT FROM headrace.%1$I WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1))))', v_name)
        INTO v_needed USING c.prev;
        IF v_needed AND (p_day + 1)::timestamp AT TIME ZONE 'UTC' >= now() - p_lost_after THEN
            RETURN 'needed';
        ELSIF v_needed THEN
            UPDATE headrace.stream_cursor SET state = 'lost' WHERE stream = c.stream AND shard = c.shard;
        END IF;
    END LOOP;
    EXECUTE format('DROP TABLE headrace.%I', v_name);
    RETURN 'dropped';
END
$$;
