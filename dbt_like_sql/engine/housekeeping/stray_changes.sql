-- purpose: what the change log's DEFAULT partition holds: changes of days that had no partition of their own
-- grain:   one row per UTC day; of more than 100,000 changes the oldest: then more is true
-- reads:   headrace.change_log_default
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.stray_changes()
RETURNS TABLE (day date, changes bigint, sources text[], more boolean)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT
        d.day, count(*), array_agg(DISTINCT d.source ORDER BY d.source),
        EXISTS (SELECT FROM headrace.change_log_default l OFFSET 100000)
    FROM (
        SELECT (l.changed_at AT TIME ZONE 'UTC')::date AS day, l.source
        FROM headrace.change_log_default l ORDER BY l.pos LIMIT 100000
    ) d
    GROUP BY d.day ORDER BY d.day
$$;
