-- purpose: roles that are missing, or that the connected role must act as during migrate but cannot
-- grain:   one row per role
-- reads:   pg_roles
-- writes:  nothing
-- locks:   none
SELECT n.role
FROM unnest(:internal::text[], :granted::text[]) AS x (internal, granted)
CROSS JOIN LATERAL (VALUES (x.internal, true), (x.granted, false)) AS n (role, acts)
LEFT JOIN pg_roles AS r ON n.role = r.rolname
WHERE
    n.role IS NOT NULL AND (
        r.oid IS NULL OR n.acts AND NOT (
            pg_has_role(r.oid, 'USAGE')
            AND pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END)))
ORDER BY n.role
