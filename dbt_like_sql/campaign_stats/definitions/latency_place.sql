-- purpose: where campaign_latency counts a latency: the number of its block times 60, plus the place in the block from 0
-- grain:   one value of latency_seconds
-- reads:   nothing (inlined by the planner: no SET clause, so everything in it is qualified)
-- writes:  nothing
-- locks:   none
--
-- Blocks 0 to 59 hold a minute of seconds each, 60 to 82 an hour of minutes, those from 100 on 60 hours.
CREATE OR REPLACE FUNCTION headrace.latency_place(p_seconds integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN p_seconds < 3600 THEN p_seconds
        WHEN p_seconds < 86400 THEN 3600 + (p_seconds - 3600) / 60
        ELSE 6000 + (p_seconds - 86400) / 3600
    END
$$;
