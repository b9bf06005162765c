-- purpose: the transaction of this database that has been writing longest: its changes appear when it commits
-- grain:   one row, or none if nobody writes; gid: a prepared transaction, which has no pid and waits for COMMIT PREPARED
-- reads:   pg_stat_activity, pg_prepared_xacts; as its owner headrace_monitor, because other roles cannot see when others' transactions began
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.oldest_writer()
RETURNS TABLE (pid integer, role_name name, application_name text, seconds double precision, gid text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT w.pid, w.role_name, w.application_name, extract(EPOCH FROM clock_timestamp() - w.since)::double precision, w.gid
    FROM (
        SELECT a.pid, a.usename AS role_name, coalesce(a.application_name, '') AS application_name, a.xact_start AS since,
            age(a.backend_xid) AS xids, NULL::text AS gid
        FROM pg_stat_activity a
        WHERE a.datname = current_database() AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
        UNION ALL
        SELECT NULL, p.owner, '', p.prepared, age(p.transaction), p.gid
        FROM pg_prepared_xacts p
        WHERE p.database = current_database()
    ) w
    ORDER BY w.since NULLS LAST, w.xids DESC
    LIMIT 1
$$;
