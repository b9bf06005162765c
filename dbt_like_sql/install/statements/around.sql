-- purpose: what an uninstall speaks of besides what it drops: the database, workers that run, the roles of the cluster
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
