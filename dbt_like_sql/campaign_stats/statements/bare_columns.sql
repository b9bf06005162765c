-- purpose: columns of :tables that are NOT NULL and that nothing fills
-- grain:   one row per column; none of a table with a BEFORE INSERT row trigger, which may fill it
-- reads:   pg_class, pg_attribute, pg_type, pg_trigger
-- writes:  nothing
-- locks:   none
SELECT
    c.relname::text AS table_name,
    a.attname::text AS column_name,
    t.typname::text AS type_name
FROM pg_class AS c
INNER JOIN pg_attribute AS a ON c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
INNER JOIN pg_type AS t ON a.atttypid = t.oid
WHERE
    c.relnamespace = to_regnamespace(quote_ident(:schema)) AND c.relname = ANY(:tables)
    AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
    AND c.oid NOT IN (
        SELECT g.tgrelid FROM pg_trigger AS g
        WHERE g.tgtype & 7 = 7 AND NOT g.tgisinternal)
ORDER BY c.relname, a.attnum
