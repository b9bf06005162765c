-- purpose: amendments of frozen campaigns that await a decision, because the source has fewer rows than when they were frozen
-- grain:   one row per campaign, the oldest first, at most `most`; with the number of all, and the age of the oldest in seconds
-- reads:   headrace.campaign_stats_pending_amendment, headrace.campaign_computed_stats, campaigns_named
-- writes:  nothing
-- locks:   none
SELECT
    p.campaign_id,
    coalesce(c.name, d.facts ->> 'name') AS name,
    p.why ->> 'reason' AS reason,
    p.first_at,
    p.times,
    p.source_rows_then,
    p.source_rows_now,
    count(*) OVER () AS "all",
    extract(EPOCH FROM clock_timestamp() - min(p.first_at) OVER ())::double precision AS oldest_seconds
FROM headrace.campaign_stats_pending_amendment AS p
LEFT JOIN headrace.campaigns_named(ARRAY(SELECT w.campaign_id FROM headrace.campaign_stats_pending_amendment AS w)) AS c
    ON p.campaign_id = c.campaign_id
LEFT JOIN headrace.campaign_computed_stats AS d ON p.campaign_id = d.campaign_id
ORDER BY p.first_at, p.campaign_id
LIMIT :most
