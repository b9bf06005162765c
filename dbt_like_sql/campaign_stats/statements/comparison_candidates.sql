-- purpose: campaigns whose stored counters may be compared with recomputed ones
-- grain:   one row per campaign, the newest first; those that the source lacks and that are not frozen come before: their numbers must be gone
-- reads:   campaigns_created, headrace.campaign, headrace.campaign_template_stats, headrace.campaign_stats_pending_amendment
-- writes:  nothing
-- locks:   none
SELECT
    coalesce(c.campaign_id, k.campaign_id) AS campaign_id,
    coalesce(k.rebuild_requested_at IS NOT NULL OR k.state = 'pending', false) AS pending,
    coalesce(m.messages, 0)::bigint AS messages,
    k.state IN ('frozen', 'amended') IS TRUE AS frozen,
    k.state IN ('frozen', 'amended') IS TRUE AND (c.campaign_id IS NULL OR p.campaign_id IS NOT NULL) AS on_its_own
FROM headrace.campaigns_created() AS c
FULL JOIN (SELECT * FROM headrace.campaign) AS k ON c.campaign_id = k.campaign_id
LEFT JOIN LATERAL (
    SELECT sum(s.total) AS messages FROM headrace.campaign_template_stats AS s
    WHERE s.campaign_id = coalesce(c.campaign_id, k.campaign_id)
) AS m ON true
LEFT JOIN headrace.campaign_stats_pending_amendment AS p ON k.campaign_id = p.campaign_id
WHERE c.campaign_id IS NOT NULL OR k.state <> 'deleted' OR m.messages IS NOT NULL
ORDER BY c.campaign_id IS NULL AND k.state IN ('frozen', 'amended') ASC, c.created_at DESC NULLS FIRST, coalesce(c.campaign_id, k.campaign_id) ASC
