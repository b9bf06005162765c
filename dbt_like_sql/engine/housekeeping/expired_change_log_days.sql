-- purpose: UTC days whose change log partition is past its retention
-- grain:   one row per day, oldest first
-- reads:   pg_inherits, pg_class
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.expired_change_log_days(p_retention interval) RETURNS SETOF date
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT d.day FROM (
        SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'headrace.change_log'::regclass AND c.relname ~ '^change_log_[0-9]{8}$'
    ) d
    WHERE (d.day + 1)::timestamp AT TIME ZONE 'UTC' < now() - p_retention
    ORDER BY d.day
$$;
