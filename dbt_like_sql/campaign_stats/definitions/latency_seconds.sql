-- purpose: the time between two moments in whole seconds, rounded down
-- grain:   one pair of times; null if one is null or infinite, or p_to is earlier; 2147483647 (68 years) stands for anything longer
-- reads:   nothing (inlined by the planner; names are resolved at creation, so search_path does not matter)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.latency_seconds(p_from timestamptz, p_to timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_from IS NULL OR p_to IS NULL OR NOT isfinite(p_from) OR NOT isfinite(p_to) OR p_to < p_from THEN NULL
    -- for times further apart than an interval can express
    WHEN p_to >= '100000-01-01 00:00+00' AND p_from < '90000-01-01 00:00+00' THEN 2147483647
    ELSE least(floor(date_part('epoch', p_to - p_from)), 2147483647)::integer
END;
