-- purpose: UTC days from today to p_ahead days ahead that lack a change log partition and can be given one
-- grain:   one row per day, oldest first; without days of which DEFAULT already holds changes: those stay in DEFAULT
-- reads:   pg_class; headrace.change_log_default if a day lacks its partition
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
            -- Writers of this day may be routed to a large DEFAULT right now.
            WHEN d.day::timestamp AT TIME ZONE 'UTC' < headrace.first_fenceable_moment() AND headrace.default_is_large() THEN false
            -- Scanned once for all days, and only if one is missing.
            ELSE d.day NOT IN (
                SELECT (l.changed_at AT TIME ZONE 'UTC')::date FROM headrace.change_log_default l
                WHERE l.changed_at >= (now() AT TIME ZONE 'UTC')::date::timestamp AT TIME ZONE 'UTC')
        END
    ORDER BY d.day
$$;
