-- purpose: dependents that would silently go with our tables and that others made; PostgreSQL itself names all other dependents
-- grain:   one row per publication or trigger
-- reads:   pg_publication, pg_publication_rel, pg_publication_namespace, pg_trigger, pg_proc
-- writes:  nothing
-- locks:   none
SELECT 'publication ' || quote_ident(p.pubname) || ' (' || r.prrelid::regclass || ')' AS built
FROM pg_publication_rel AS r
INNER JOIN pg_publication AS p ON r.prpubid = p.oid
INNER JOIN pg_class AS c ON r.prrelid = c.oid
WHERE c.relnamespace = 'headrace'::regnamespace
UNION ALL
SELECT 'publication ' || quote_ident(p.pubname) || ' (tables in schema headrace)' AS built
FROM pg_publication_namespace AS n
INNER JOIN pg_publication AS p ON n.pnpubid = p.oid
WHERE n.pnnspid = 'headrace'::regnamespace
UNION ALL
SELECT 'trigger ' || quote_ident(g.tgname) || ' (' || g.tgrelid::regclass || ')' AS built
FROM pg_trigger AS g
INNER JOIN pg_class AS c ON g.tgrelid = c.oid
INNER JOIN pg_proc AS f ON g.tgfoid = f.oid
WHERE c.relnamespace = 'headrace'::regnamespace AND f.pronamespace <> c.relnamespace AND NOT g.tgisinternal
ORDER BY built
