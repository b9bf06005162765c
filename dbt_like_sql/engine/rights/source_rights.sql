-- purpose: rights that Headrace's roles lack on the application's schema, and the statement that grants each
-- grain:   one row per right or policy: what is missing in words, the statement
-- reads:   pg_namespace, pg_class, pg_attrdef, pg_depend, pg_policy, pg_roles
-- writes:  nothing
-- locks:   none; the statements: none, except CREATE POLICY: ACCESS EXCLUSIVE on its table
--
-- Row-level security applies to these roles as to everybody: on a table that has it, a policy lets them see, or insert, all rows.
WITH needed AS (
    SELECT
        c.oid, c.relname, c.relrowsecurity, x.role, x.kind, x.command, r.oid AS role_id, r.rolbypassrls OR r.rolsuper AS sees_all,
        format('%I.%I', n.nspname, c.relname) AS place
    FROM pg_class AS c
    INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
    INNER JOIN (VALUES ('headrace_owner', 'SELECT', 'r'), ('headrace_ingest', 'INSERT', 'a')) AS x (role, kind, command)
        ON x.kind = 'SELECT' AND c.relname = ANY({{ reads }}) OR c.relname = ANY({{ inserts }})
    INNER JOIN pg_roles AS r ON x.role = r.rolname
    WHERE n.nspname = {{ schema }} AND c.relkind IN ('r', 'p')
),

lacking AS (
    SELECT
        1 AS step, format('%s may not use schema %s', x.role, n.nspname) AS lacks,
        format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, x.role) AS statement
    FROM pg_namespace AS n CROSS JOIN (SELECT DISTINCT e.role FROM needed AS e) AS x
    WHERE n.nspname = {{ schema }} AND NOT has_schema_privilege(x.role, n.oid, 'USAGE')
    UNION ALL
    SELECT
        2 AS step, format('%s may not %s table %s', e.role, lower(e.kind COLLATE "C"), e.relname) AS lacks,
        format('GRANT %s ON TABLE %s TO %I', e.kind, e.place, e.role) AS statement
    FROM needed AS e
    WHERE NOT has_table_privilege(e.role, e.oid, e.kind)
    UNION ALL
    -- sequences used by column defaults; an identity column's sequence needs no right
    SELECT DISTINCT
        3 AS step, format('%s may not use sequence %s', e.role, s.relname) AS lacks,
        format('GRANT USAGE ON SEQUENCE %I.%I TO %I', n.nspname, s.relname, e.role) AS statement
    FROM needed AS e
    INNER JOIN pg_attrdef AS a ON e.oid = a.adrelid
    INNER JOIN pg_depend AS d ON a.oid = d.objid AND d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
    INNER JOIN pg_class AS s ON d.refobjid = s.oid
    INNER JOIN pg_namespace AS n ON s.relnamespace = n.oid
    WHERE e.kind = 'INSERT' AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(e.role_id, s.oid, 'USAGE') END
    UNION ALL
    SELECT
        4 AS step, format('row-level security on %s hides rows from %s', e.relname, e.role) AS lacks,
        format(
            'CREATE POLICY %I ON %s FOR %s TO %I %s (true)', e.role || '_' || lower(e.kind COLLATE "C"), e.place, e.kind, e.role,
            CASE e.kind WHEN 'SELECT' THEN 'USING' ELSE 'WITH CHECK' END) AS statement
    FROM needed AS e
    WHERE
        e.relrowsecurity AND NOT e.sees_all AND NOT EXISTS (
            SELECT FROM pg_policy AS p
            WHERE
                p.polrelid = e.oid AND p.polpermissive AND p.polcmd IN ('*', e.command::"char") AND p.polroles && ARRAY[e.role_id, 0::oid]
                AND pg_get_expr(CASE e.kind WHEN 'SELECT' THEN p.polqual ELSE coalesce(p.polwithcheck, p.polqual) END, p.polrelid) = 'true')
)

SELECT l.lacks, l.statement FROM lacking AS l
ORDER BY l.step, l.lacks
