-- purpose: the UTC days that lack a partition of the change log: today and p_ahead days on, and days that DEFAULT holds rows of
-- grain:   one row per day, oldest first
-- reads:   headrace.change_log_default, pg_class
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.missing_change_log_days(p_ahead integer DEFAULT 14) RETURNS SETOF date
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT d.day FROM (
        SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, p_ahead) n
        UNION SELECT DISTINCT (changed_at AT TIME ZONE 'UTC')::date FROM headrace.change_log_default
    ) d
    WHERE to_regclass('headrace.change_log_' || to_char(d.day, 'YYYYMMDD')) IS NULL
    ORDER BY d.day
$$;
