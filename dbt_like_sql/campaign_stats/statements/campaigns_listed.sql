-- purpose: campaigns and their place in the lifecycle, for the terminal
-- grain:   one row per campaign that Headrace knows, only those in :state if given; the newest first, at most `most`
-- reads:   headrace.campaign_standing, campaigns_created
-- writes:  nothing
-- locks:   none
--
-- Times as text: the application's may be infinite, or later than Python can represent.
SELECT
    s.campaign_id::text AS campaign,
    coalesce(c.name, s.facts ->> 'name') AS name,
    CASE WHEN c.campaign_id IS NULL THEN 'deleted' ELSE c.status END AS status,
    s.state,
    s.version,
    to_jsonb(s.completed_at) #>> '{}' AS completed_at,
    to_jsonb(s.settles_until) #>> '{}' AS settles_until,
    to_jsonb(s.frozen_at) #>> '{}' AS frozen_at,
    s.amendment_waits
FROM headrace.campaign_standing AS s
LEFT JOIN headrace.campaigns_created() AS c ON s.campaign_id = c.campaign_id
WHERE s.state = coalesce(:state, s.state)
ORDER BY coalesce(c.created_at, (s.facts ->> 'created_at')::timestamptz) DESC NULLS LAST, s.campaign_id DESC
LIMIT :most
