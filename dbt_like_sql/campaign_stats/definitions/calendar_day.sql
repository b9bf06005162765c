-- purpose: the UTC day of a moment; a campaign belongs to the partition of the day it was created on
-- grain:   one moment; null if partitions or clients cannot represent its day: infinite, before 0001, after 9999
-- reads:   nothing (inlined by the planner; names are resolved at creation, so search_path does not matter)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.calendar_day(p_at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_at >= '0001-01-02 00:00+00' AND p_at < '9999-12-31 00:00+00' THEN (p_at AT TIME ZONE 'UTC')::date END;
