-- purpose: sessions whose table locks are in a change's way; the role may not see what other roles' sessions are doing
-- grain:   one row per session or prepared transaction, with one of the tables it locks
-- reads:   pg_locks, pg_prepared_xacts, pg_stat_activity, pg_class
-- writes:  nothing
-- locks:   none
SELECT DISTINCT ON (l.pid, p.gid)
    l.pid,
    l.relation::regclass::text AS relation,
    coalesce(nullif(a.application_name, ''), a.backend_type, 'unknown') AS name,
    extract(EPOCH FROM now() - a.xact_start)::integer AS seconds,
    p.gid
FROM pg_locks AS l
LEFT JOIN (  -- noqa: ST11
    pg_locks AS x
    INNER JOIN pg_prepared_xacts AS p ON x.transactionid = p.transaction
) ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' AND l.virtualtransaction = x.virtualtransaction
INNER JOIN pg_class AS c ON l.relation = c.oid AND c.relkind IN ('r', 'p')
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
LEFT JOIN pg_stat_activity AS a ON l.pid = a.pid
WHERE
    l.database = (
        SELECT d.oid FROM pg_database AS d
        WHERE d.datname = current_database())
    AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND (n.nspname = 'headrace' OR n.nspname = :source AND l.mode <> ALL(:harmless))
ORDER BY l.pid, p.gid, l.relation
