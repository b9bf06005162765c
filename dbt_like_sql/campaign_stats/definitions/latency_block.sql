-- purpose: the block of campaign_latency that counts a latency: one minute wide up to an hour, ten minutes up to a day, an hour beyond
-- grain:   one result of latency_seconds; a longer latency is never in an earlier block
-- reads:   nothing (inlined by the planner; names are resolved at creation, so search_path does not matter)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.latency_block(p_seconds integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_seconds < 3600 THEN p_seconds / 60
    WHEN p_seconds < 86400 THEN 60 + (p_seconds - 3600) / 600
    ELSE 198 + (p_seconds - 86400) / 3600
END;
