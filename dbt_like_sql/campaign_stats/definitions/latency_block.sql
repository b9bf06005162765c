-- purpose: which row of campaign_latency counts a latency: blocks of a minute up to an hour, of ten up to a day, of an hour beyond
-- grain:   one value of latency_seconds; a greater one is never in an earlier block
-- reads:   nothing (inlined by the planner; bound when it is made, so that no search_path matters)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.latency_block(p_seconds integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_seconds < 3600 THEN p_seconds / 60
    WHEN p_seconds < 86400 THEN 60 + (p_seconds - 3600) / 600
    ELSE 198 + (p_seconds - 86400) / 3600
END;
