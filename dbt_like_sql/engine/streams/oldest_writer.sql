-- purpose: the transaction of this database that has been writing longest: what it wrote comes when it commits
-- grain:   one row, or none where nobody writes
-- reads:   pg_stat_activity; with the owner's rights, for a plain role sees no times of other roles' sessions
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.oldest_writer()
RETURNS TABLE (pid integer, role_name name, application_name text, seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT a.pid, a.usename, coalesce(a.application_name, ''), extract(EPOCH FROM clock_timestamp() - a.xact_start)::double precision
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
    ORDER BY a.xact_start NULLS LAST, age(a.backend_xid) DESC
    LIMIT 1
$$;
