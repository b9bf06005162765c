-- purpose: whether the change log's DEFAULT partition is more than can be read in a millisecond or two under a lock
-- grain:   one answer, from the size of its file
-- reads:   the size of headrace.change_log_default
-- writes:  nothing
-- locks:   none that anybody waits for
CREATE OR REPLACE FUNCTION headrace.default_is_large() RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT pg_relation_size('headrace.change_log_default') > 1048576
$$;
