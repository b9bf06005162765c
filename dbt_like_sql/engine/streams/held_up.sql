-- purpose: which sessions of Headrace in this database wait for a lock, and who holds it
-- grain:   one row per waiting session and holder; a prepared transaction holds without a pid: its gid is told
-- reads:   pg_stat_activity, pg_locks, pg_prepared_xacts; with the owner's rights, for a plain role sees nothing of other roles' sessions.
-- writes:  nothing
-- locks:   none
--
-- What the holder runs is not told: that is for whoever may see it.
CREATE OR REPLACE FUNCTION headrace.held_up()
RETURNS TABLE (pid integer, application_name text, holder_pid integer, holder_gid text, holder_name text, holder_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT
        a.pid, a.application_name, nullif(h.pid, 0), p.gid, coalesce(nullif(o.application_name, ''), o.usename, p.owner),
        extract(EPOCH FROM clock_timestamp() - coalesce(o.xact_start, p.prepared))::double precision
    FROM pg_stat_activity a
    CROSS JOIN LATERAL (SELECT DISTINCT unnest(pg_blocking_pids(a.pid)) AS pid) h
    LEFT JOIN pg_stat_activity o ON o.pid = h.pid
    LEFT JOIN LATERAL (
        SELECT x.gid, x.owner, x.prepared
        FROM pg_locks w
        INNER JOIN pg_locks g ON g.granted AND g.locktype = w.locktype AND g.pid IS NULL
            AND (g.database, g.relation, g.transactionid, g.page, g.tuple, g.classid, g.objid, g.objsubid)
                IS NOT DISTINCT FROM (w.database, w.relation, w.transactionid, w.page, w.tuple, w.classid, w.objid, w.objsubid)
        -- A prepared transaction has no session: it is known by the lock that it holds on its own id.
        INNER JOIN pg_locks t ON t.virtualtransaction = g.virtualtransaction AND t.locktype = 'transactionid' AND t.pid IS NULL
        INNER JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
        WHERE w.pid = a.pid AND NOT w.granted
        LIMIT 1
    ) p ON h.pid = 0
    WHERE a.datname = current_database() AND a.application_name LIKE 'headrace%' AND a.wait_event_type = 'Lock'
$$;
