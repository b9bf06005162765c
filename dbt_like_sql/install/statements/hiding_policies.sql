-- purpose: restrictive policies that hide rows of source tables from headrace_owner
-- grain:   one row per table; permissive policies do not matter: migrate adds one that shows all rows (engine/rights/source_rights.sql)
-- reads:   pg_policy, pg_class, pg_roles
-- writes:  nothing
-- locks:   none
SELECT
    c.relname::text AS table_name,
    min(p.polname)::text AS policy
FROM pg_policy AS p
INNER JOIN pg_class AS c ON p.polrelid = c.oid
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
LEFT JOIN pg_roles AS r ON r.rolname = 'headrace_owner'
WHERE
    n.nspname = :schema AND c.relrowsecurity AND NOT p.polpermissive AND p.polcmd IN ('r', '*')
    AND pg_get_expr(p.polqual, p.polrelid) <> 'true' AND (r.rolsuper OR r.rolbypassrls) IS NOT TRUE
    AND EXISTS (
        SELECT FROM unnest(p.polroles) AS x (role)
        WHERE x.role = 0 OR pg_has_role(r.oid, x.role, 'USAGE'))
GROUP BY c.relname
