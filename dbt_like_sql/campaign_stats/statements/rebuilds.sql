-- purpose: how many campaigns wait for a rebuild, how many seconds the oldest has waited, and how many have failed
-- grain:   one row
-- reads:   headrace.campaign
-- writes:  nothing
-- locks:   none
SELECT
    count(*) FILTER (WHERE k.rebuild_requested_at IS NOT NULL AND k.rebuild_error IS NULL) AS waiting,
    coalesce(extract(EPOCH FROM clock_timestamp() - min(k.rebuild_requested_at) FILTER (WHERE k.rebuild_error IS NULL)), 0)::double precision
        AS waiting_seconds,
    count(*) FILTER (WHERE k.rebuild_error IS NOT NULL) AS failed
FROM headrace.campaign AS k
