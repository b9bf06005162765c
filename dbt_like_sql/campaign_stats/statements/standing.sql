-- purpose: campaigns as they stand: whether they exist, their state and version, and what an amendment of theirs waits for
-- grain:   one row per id given, in the order given; nulls where there is no such campaign
-- reads:   campaigns_named, headrace.campaign, headrace.campaign_computed_stats, headrace.campaign_stats_pending_amendment
-- writes:  nothing
-- locks:   none
SELECT
    i.id,
    c.name,
    c.campaign_id IS NOT NULL AS "exists",
    k.state,
    d.version,
    p.source_rows_then,
    p.source_rows_now
FROM unnest(:campaigns::uuid[]) WITH ORDINALITY AS i (id, place)
LEFT JOIN headrace.campaigns_named(:campaigns::uuid[]) AS c ON i.id = c.campaign_id
LEFT JOIN headrace.campaign AS k ON i.id = k.campaign_id
LEFT JOIN headrace.campaign_computed_stats AS d ON i.id = d.campaign_id
LEFT JOIN headrace.campaign_stats_pending_amendment AS p ON i.id = p.campaign_id
ORDER BY i.place
