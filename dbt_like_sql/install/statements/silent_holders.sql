-- purpose: sessions that hold a stream's cursor and have been idle in their transaction for :silent seconds
-- grain:   one row per session; ends: seconds after which it ends by itself if it is Headrace's
-- reads:   pg_locks, pg_stat_activity
-- writes:  nothing
-- locks:   none
--
-- A step locks its cursor's row. Everybody can see that lock on the table, but only roles with rights on the session see its idle time.
SELECT DISTINCT
    a.pid,
    coalesce(nullif(a.application_name, ''), 'unknown') AS name,
    coalesce(host(a.client_addr), 'this machine') AS place,
    extract(EPOCH FROM clock_timestamp() - a.state_change)::integer AS seconds,
    CASE WHEN a.application_name LIKE 'headrace%' THEN :ours::integer END AS ends
FROM pg_locks AS l
INNER JOIN pg_stat_activity AS a ON l.pid = a.pid
WHERE
    l.relation = to_regclass('headrace.stream_cursor') AND l.granted AND l.mode <> 'AccessShareLock'
    AND l.pid <> pg_backend_pid() AND l.database = (
        SELECT d.oid FROM pg_database AS d
        WHERE d.datname = current_database())
    AND a.state LIKE 'idle in transaction%' AND a.state_change < clock_timestamp() - make_interval(secs => :silent)
ORDER BY a.pid
