-- purpose: records that a worker is alive, and what it has done
-- grain:   one worker
-- reads:   nothing
-- writes:  headrace.worker
-- locks:   the worker's row
CREATE OR REPLACE FUNCTION headrace.worker_heartbeat(
    p_worker_id text, p_hostname text, p_pid integer, p_state text, p_streams text[], p_changes_applied bigint, p_last_error text
) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    INSERT INTO headrace.worker AS w (worker_id, hostname, pid, state, streams, changes_applied, last_error)
    VALUES (
        left(p_worker_id, 200), left(p_hostname, 200), p_pid, p_state, ARRAY(SELECT left(s, 200) FROM unnest(p_streams[1:100]) s),
        p_changes_applied, left(p_last_error, 2000))
    ON CONFLICT (worker_id) DO UPDATE SET
        seen_at = clock_timestamp(), state = excluded.state, streams = excluded.streams,
        changes_applied = excluded.changes_applied, last_error = excluded.last_error
$$;
