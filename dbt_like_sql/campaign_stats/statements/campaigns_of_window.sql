-- purpose: campaigns created in a window, and those named, each with whether it must be computed, rebuilt, amended or frozen
-- grain:   one row per campaign, the newest first
-- reads:   campaigns_created, campaigns_named, headrace.campaign_standing
-- writes:  nothing
-- locks:   none
--
-- Naming a frozen campaign does not recompute it: it was counted when it was frozen, and its source may have fewer rows by now.
SELECT
    c.campaign_id,
    c.day,
    coalesce(s.messages, 0) AS messages,
    s.campaign_id IS NULL OR s.due OR NOT s.counted OR NOT s.final AND c.campaign_id = ANY(:named::uuid[]) AS due
FROM (
    SELECT * FROM headrace.campaigns_created(:start, :end)
    UNION
    SELECT * FROM headrace.campaigns_named(:named::uuid[])
) AS c
LEFT JOIN headrace.campaign_standing AS s ON c.campaign_id = s.campaign_id
ORDER BY c.created_at DESC, c.campaign_id ASC
