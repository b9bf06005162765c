-- purpose: whether the change log's DEFAULT partition is too large to be scanned under a lock in a millisecond or two
-- grain:   one answer, by the size of its file
-- reads:   the size of headrace.change_log_default
-- writes:  nothing
-- locks:   none that blocks anybody
CREATE OR REPLACE FUNCTION headrace.default_is_large() RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT pg_relation_size('headrace.change_log_default') > 1048576
$$;
