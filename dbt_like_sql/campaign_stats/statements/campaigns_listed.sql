-- purpose: campaigns for the terminal: where they are in their life
-- grain:   one row per campaign that Headrace knows, of one state where it is given; the newest first, at most `most`
-- reads:   headrace.campaign, campaigns_created, headrace.campaign_computed_stats, headrace.campaign_stats_pending_amendment
-- writes:  nothing
-- locks:   none
--
-- Times as text: an application's may be infinite, or later than Python knows.
SELECT
    k.campaign_id::text AS campaign,
    coalesce(c.name, d.facts ->> 'name') AS name,
    CASE WHEN c.campaign_id IS NULL THEN 'deleted' ELSE c.status END AS status,
    k.state,
    d.version,
    to_jsonb(k.completed_at) #>> '{}' AS completed_at,
    to_jsonb(k.settles_until) #>> '{}' AS settles_until,
    to_jsonb(d.frozen_at) #>> '{}' AS frozen_at,
    p.campaign_id IS NOT NULL AS amendment_waits
FROM headrace.campaign AS k
LEFT JOIN headrace.campaigns_created() AS c ON k.campaign_id = c.campaign_id
LEFT JOIN headrace.campaign_computed_stats AS d ON k.campaign_id = d.campaign_id
LEFT JOIN headrace.campaign_stats_pending_amendment AS p ON k.campaign_id = p.campaign_id
WHERE k.state = coalesce(:state, k.state)
ORDER BY coalesce(c.created_at, (d.facts ->> 'created_at')::timestamptz) DESC NULLS LAST, k.campaign_id DESC
LIMIT :most
