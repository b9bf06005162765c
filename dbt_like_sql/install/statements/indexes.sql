-- purpose: the keys of these tables' indexes that the server maintains and uses; a partitioned table's index counts if all partitions have it
-- grain:   one row per key, in the index's order
-- reads:   pg_index, pg_class, pg_am, pg_opclass, pg_opfamily, pg_attribute
-- writes:  nothing
-- locks:   none
SELECT
    c.relname::text AS table_name,
    i.indexrelid,
    m.amname::text AS method,
    i.indisunique,
    pg_get_expr(i.indpred, i.indrelid) AS predicate,
    a.attname::text AS column_name,
    pg_get_indexdef(i.indexrelid, k.n::integer, false) AS expression,
    coalesce(o.opcfamily = d.opcfamily, false) AS sorts,
    coalesce(o.opcfamily = d.opcfamily, false) OR f.opfname = 'text_pattern_ops' AND f.opfnamespace = 'pg_catalog'::regnamespace AS equals,
    k.rule = coalesce(a.attcollation, k.rule) AS own_collation,
    coalesce(k.sorting, 0) AS sorting
FROM pg_index AS i
INNER JOIN pg_class AS c ON i.indrelid = c.oid
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
INNER JOIN pg_class AS x ON i.indexrelid = x.oid
INNER JOIN pg_am AS m ON x.relam = m.oid
CROSS JOIN LATERAL unnest(
    i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[]
) WITH ORDINALITY AS k (attnum, opclass, rule, sorting, n)
INNER JOIN pg_opclass AS o ON k.opclass = o.oid
INNER JOIN pg_opfamily AS f ON o.opcfamily = f.oid
LEFT JOIN pg_opclass AS d ON o.opcmethod = d.opcmethod AND o.opcintype = d.opcintype AND d.opcdefault
LEFT JOIN pg_attribute AS a ON i.indrelid = a.attrelid AND k.attnum = a.attnum AND k.attnum > 0
WHERE n.nspname = :schema AND c.relname = ANY(:names) AND i.indisvalid AND i.indisready AND i.indislive AND k.n <= i.indnkeyatts
ORDER BY c.relname, i.indexrelid, k.n
