-- purpose: the UTC day of a moment: which day's partition a campaign belongs to, by its creation
-- grain:   one moment; null where it is on no day that partitions and clients know: infinite, before 0001, after 9999
-- reads:   nothing (inlined by the planner; bound when it is made, so that no search_path matters)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.calendar_day(p_at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_at >= '0001-01-02 00:00+00' AND p_at < '9999-12-31 00:00+00' THEN (p_at AT TIME ZONE 'UTC')::date END;
