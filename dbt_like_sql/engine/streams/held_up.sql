-- purpose: sessions of Headrace in this database that wait for a lock, and the sessions that hold it
-- grain:   one row per waiting session and holder; a prepared transaction has no pid, so its gid is given
-- reads:   pg_stat_activity, pg_locks, pg_prepared_xacts; as its owner headrace_monitor, because other roles cannot see each other's sessions
-- writes:  nothing
-- locks:   none
--
-- It does not show the holder's query: not everybody may see that.
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
        -- A prepared transaction has no session: its lock on its own transaction id identifies it.
        INNER JOIN pg_locks t ON t.virtualtransaction = g.virtualtransaction AND t.locktype = 'transactionid' AND t.pid IS NULL
        INNER JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
        WHERE w.pid = a.pid AND NOT w.granted
        LIMIT 1
    ) p ON h.pid = 0
    WHERE a.datname = current_database() AND a.application_name LIKE 'headrace%' AND a.wait_event_type = 'Lock'
$$;
