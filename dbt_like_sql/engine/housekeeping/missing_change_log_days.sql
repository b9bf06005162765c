-- purpose: the UTC days, from today to p_ahead days on, that lack a partition of the change log and can be given one
-- grain:   one row per day, oldest first; a day of which DEFAULT holds changes is not among them: it stays DEFAULT's
-- reads:   pg_class; headrace.change_log_default where a day lacks its partition
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.missing_change_log_days(p_ahead integer DEFAULT 14) RETURNS SETOF date
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT d.day
    FROM (SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, least(p_ahead, 31)) n) d
    WHERE
        CASE
            WHEN to_regclass('headrace.change_log_' || to_char(d.day, 'YYYYMMDD')) IS NOT NULL THEN false
            -- Today's writers are being routed to a large DEFAULT at this moment.
            WHEN d.day::timestamp AT TIME ZONE 'UTC' < headrace.first_fenceable_moment() AND headrace.default_is_large() THEN false
            -- Read once for all days, and only where one is missing.
            ELSE d.day NOT IN (
                SELECT (l.changed_at AT TIME ZONE 'UTC')::date FROM headrace.change_log_default l
                WHERE l.changed_at >= (now() AT TIME ZONE 'UTC')::date::timestamp AT TIME ZONE 'UTC')
        END
    ORDER BY d.day
$$;
