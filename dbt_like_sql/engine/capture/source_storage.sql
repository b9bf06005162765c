-- purpose: identifies the files that hold a table's rows, partitions included; changes if an ALTER or anything else rewrites them
-- grain:   one table; an md5
-- reads:   pg_class
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.source_storage(p_table oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT md5(coalesce(string_agg(c.oid || ':' || c.relfilenode, ',' ORDER BY c.oid), ''))
    FROM pg_class c WHERE c.oid = ANY (p_table || headrace.source_parts(p_table))
$$;
