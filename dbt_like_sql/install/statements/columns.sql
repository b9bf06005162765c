-- purpose: the columns of the relations with these names in a schema
-- grain:   one row per column, in the table's order
-- reads:   pg_class, pg_attribute, pg_type, pg_collation, pg_attrdef
-- writes:  nothing
-- locks:   none
SELECT
    c.relname::text AS table_name,
    a.attname::text AS column_name,
    format_type(a.atttypid, NULL) AS type_name,
    format_type(a.atttypid, a.atttypmod) AS declared,
    CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, NULL) END AS over,
    quote_ident(ln.nspname) || '.' || quote_ident(l.collname) AS collation_name,
    coalesce(l.collisdeterministic, true) AS is_deterministic,
    CASE WHEN a.attgenerated = 'v' THEN pg_get_expr(d.adbin, d.adrelid) END AS virtual
FROM pg_class AS c
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
INNER JOIN pg_attribute AS a ON c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
INNER JOIN pg_type AS t ON a.atttypid = t.oid
LEFT JOIN pg_collation AS l ON a.attcollation = l.oid
LEFT JOIN pg_namespace AS ln ON l.collnamespace = ln.oid
LEFT JOIN pg_attrdef AS d ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = ANY(:names)
ORDER BY c.relname, a.attnum
