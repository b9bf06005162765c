-- purpose: the columns of tables, to tell whether they are the example's tables
-- grain:   one row per table of :tables that is in :schema
-- reads:   pg_class, pg_namespace, pg_attribute
-- writes:  nothing
-- locks:   none
SELECT
    c.relname,
    array_agg(a.attname::text) AS columns
FROM pg_class AS c
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
INNER JOIN pg_attribute AS a ON c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = :schema AND c.relname = ANY(:tables)
GROUP BY c.relname
