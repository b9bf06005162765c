-- purpose: the relations that hold a table's rows besides itself: its partitions or inheriting tables, at any depth
-- grain:   one sorted array of oids; empty if there are none
-- reads:   pg_inherits
-- writes:  nothing
-- locks:   none; pg_partition_tree would lock each partition and wait for sessions that alter one
CREATE OR REPLACE FUNCTION headrace.source_parts(p_table oid) RETURNS oid[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH RECURSIVE part AS (
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = p_table AND NOT i.inhdetachpending
        UNION ALL
        SELECT i.inhrelid FROM part p INNER JOIN pg_inherits i ON i.inhparent = p.inhrelid AND NOT i.inhdetachpending
    )
    SELECT coalesce(array_agg(p.inhrelid ORDER BY p.inhrelid), '{}') FROM part p
$$;
