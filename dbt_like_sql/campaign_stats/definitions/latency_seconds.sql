-- purpose: how long something took, in whole seconds, rounded down
-- grain:   one pair of times; null where one is null or infinite; 2147483647 (68 years) stands for anything longer
-- reads:   nothing (inlined by the planner; bound when it is made, so that no search_path matters)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.latency_seconds(p_from timestamptz, p_to timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_from IS NULL OR p_to IS NULL OR NOT isfinite(p_from) OR NOT isfinite(p_to) OR p_to < p_from THEN NULL
    -- of times further apart than an interval reaches
    WHEN p_to >= '100000-01-01 00:00+00' AND p_from < '90000-01-01 00:00+00' THEN 2147483647
    ELSE least(floor(date_part('epoch', p_to - p_from)), 2147483647)::integer
END;
