-- purpose: owners of :tables who are not superusers, if the connected role is one
-- grain:   one row per owner; none if the connected role is not a superuser
-- reads:   pg_class, pg_roles
-- writes:  nothing
-- locks:   none
SELECT DISTINCT o.rolname::text AS owner
FROM pg_class AS c
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
INNER JOIN pg_roles AS o ON c.relowner = o.oid
WHERE
    n.nspname = :schema AND c.relname = ANY(:tables) AND NOT o.rolsuper
    AND EXISTS (
        SELECT FROM pg_roles AS r
        WHERE r.rolname = current_user AND r.rolsuper)
ORDER BY owner
