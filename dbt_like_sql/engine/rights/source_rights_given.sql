-- purpose: rights of Headrace's roles outside schema headrace, and the statement that revokes each
-- grain:   one row per role and object, policies first: the statement
-- reads:   pg_namespace, pg_class, pg_policy, pg_roles
-- writes:  nothing
-- locks:   none; the statements: none, except DROP POLICY: ACCESS EXCLUSIVE on its table
WITH granted AS (
    SELECT format(CASE c.relkind WHEN 'S' THEN 'SEQUENCE %I.%I' ELSE 'TABLE %I.%I' END, n.nspname, c.relname) AS place, c.relacl AS rights
    FROM pg_class AS c INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
    WHERE c.relacl IS NOT NULL AND n.nspname <> 'headrace'
    UNION ALL
    SELECT format('SCHEMA %I', n.nspname) AS place, n.nspacl AS rights FROM pg_namespace AS n
    WHERE n.nspacl IS NOT NULL AND n.nspname <> 'headrace'
),

ours AS (
    SELECT r.oid, r.rolname FROM pg_roles AS r
    WHERE r.rolname IN ('headrace_owner', 'headrace_ingest')
)

SELECT s.statement
FROM (
    SELECT 1 AS step, format('DROP POLICY %I ON %s', p.polname, p.polrelid::regclass) AS statement
    FROM pg_policy AS p
    WHERE p.polname IN ('headrace_owner_select', 'headrace_ingest_insert') AND p.polroles <@ ARRAY(SELECT o.oid FROM ours AS o)
    UNION ALL
    SELECT DISTINCT 2 AS step, format('REVOKE ALL ON %s FROM %I', g.place, o.rolname) AS statement
    FROM granted AS g
    CROSS JOIN LATERAL aclexplode(g.rights) AS x
    INNER JOIN ours AS o ON x.grantee = o.oid
) AS s
ORDER BY s.step, s.statement
