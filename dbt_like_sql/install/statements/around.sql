-- purpose: what uninstall reports besides what it drops: the database, running workers, the cluster's roles
-- grain:   one row
-- reads:   headrace.worker, pg_roles
-- writes:  nothing
-- locks:   none
SELECT
    current_database() AS database,
    (
        SELECT count(*) FROM headrace.worker AS w
        WHERE w.state = 'running' AND w.seen_at > now() - make_interval(secs => :silent)
    ) AS workers,
    array(
        SELECT r.rolname::text FROM pg_roles AS r
        WHERE r.rolname = ANY(:roles)
        ORDER BY r.rolname
    ) AS roles
