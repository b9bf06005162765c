-- purpose: sessions that hold the place of a stream and have been silent in their transaction for :silent seconds
-- grain:   one row per session; ends: after how many seconds one of Headrace's ends by itself
-- reads:   pg_locks, pg_stat_activity
-- writes:  nothing
-- locks:   none
-- A step locks its cursor's row: its table then bears this lock, which everybody may see; since when, only the role's own.
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
