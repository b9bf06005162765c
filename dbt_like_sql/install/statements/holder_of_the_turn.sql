-- purpose: the holder of the advisory lock that serializes changes of an installation
-- grain:   one row, or none; pid is null for a prepared transaction
-- reads:   pg_locks, pg_stat_activity
-- writes:  nothing
-- locks:   none
SELECT
    l.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, 'unknown') AS name,
    coalesce(a.usename, '?') AS role
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON l.pid = a.pid
WHERE
    l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = :first AND l.objid = :second
    AND l.database = (
        SELECT d.oid FROM pg_database AS d
        WHERE d.datname = current_database())
