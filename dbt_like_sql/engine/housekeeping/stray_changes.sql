-- purpose: changes in the change log's DEFAULT partition: those of days without their own partition
-- grain:   one row per UTC day, from the oldest 100,000 changes; more: there are more than that
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
