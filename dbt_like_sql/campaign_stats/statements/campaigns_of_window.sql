-- purpose: the campaigns created in a window and those that are named: which of them are to be computed, rebuilt, amended or frozen
-- grain:   one row per campaign, the newest first
-- reads:   campaigns_created, campaigns_named, headrace.campaign, headrace.campaign_template_stats
-- writes:  nothing
-- locks:   none
--
-- A frozen campaign is not recomputed because it is named: it was when it was frozen, and its rows may be fewer by now.
SELECT
    c.campaign_id,
    c.day,
    coalesce(m.messages, 0)::bigint AS messages,
    k.campaign_id IS NULL OR k.state IN ('pending', 'deleted') OR k.rebuild_requested_at IS NOT NULL
    OR k.state = 'settling' AND k.settles_until <= clock_timestamp()
    OR (c.campaign_id = ANY(:named) AND k.state NOT IN ('frozen', 'amended')) AS due
FROM (
    SELECT * FROM headrace.campaigns_created(:start, :end)
    UNION
    SELECT * FROM headrace.campaigns_named(:named::uuid[])
) AS c
LEFT JOIN headrace.campaign AS k ON c.campaign_id = k.campaign_id
LEFT JOIN LATERAL (
    SELECT sum(s.total) AS messages
    FROM headrace.campaign_template_stats AS s
    WHERE s.campaign_id = c.campaign_id
) AS m ON true
ORDER BY c.created_at DESC, c.campaign_id ASC
