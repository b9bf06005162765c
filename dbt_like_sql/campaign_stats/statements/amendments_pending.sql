-- purpose: amendments that await a decision, for the terminal
-- grain:   one row per campaign, the oldest first; only :campaign if given
-- reads:   headrace.campaign_stats_pending_amendment
-- writes:  nothing
-- locks:   none
SELECT
    p.campaign_id::text AS campaign,
    p.why ->> 'reason' AS reason,
    headrace.missing_source_rows(p.source_rows_then, p.source_rows_now) AS missing_source_rows,
    p.times,
    to_jsonb(p.first_at) #>> '{}' AS first_at,
    to_jsonb(p.last_at) #>> '{}' AS last_at
FROM headrace.campaign_stats_pending_amendment AS p
WHERE p.campaign_id = coalesce(:campaign::uuid, p.campaign_id)
ORDER BY p.first_at, p.campaign_id
