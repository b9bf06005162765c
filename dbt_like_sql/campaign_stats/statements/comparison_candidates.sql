-- purpose: campaigns whose stored counters may be compared with recomputed ones
-- grain:   one row per campaign, the newest first; before them unfrozen campaigns that the source lacks: their numbers should be gone
-- reads:   campaigns_created, headrace.campaign_standing, campaign_template_stats
-- writes:  nothing
-- locks:   none
SELECT
    coalesce(c.campaign_id, s.campaign_id) AS campaign_id,
    coalesce(s.requested OR s.state = 'pending', false) AS pending,
    coalesce(m.messages, 0)::bigint AS messages,
    s.final IS TRUE AS frozen,
    s.final IS TRUE AND (c.campaign_id IS NULL OR s.amendment_waits) AS on_its_own
FROM headrace.campaigns_created() AS c
FULL JOIN (
    SELECT
        k.campaign_id,
        k.requested,
        k.state,
        k.final,
        k.amendment_waits
    FROM headrace.campaign_standing AS k
) AS s ON c.campaign_id = s.campaign_id
LEFT JOIN LATERAL (
    SELECT sum(t.total) AS messages FROM headrace.campaign_template_stats AS t
    WHERE t.campaign_id = coalesce(c.campaign_id, s.campaign_id)
) AS m ON true
WHERE c.campaign_id IS NOT NULL OR s.state <> 'deleted' OR m.messages IS NOT NULL
ORDER BY c.campaign_id IS NULL AND s.final, c.created_at DESC NULLS FIRST, coalesce(c.campaign_id, s.campaign_id)
