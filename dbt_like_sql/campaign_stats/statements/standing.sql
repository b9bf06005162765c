-- purpose: campaigns as they stand: whether they exist, their state and version, and what an amendment of theirs waits for
-- grain:   one row per id given, in the order given; nulls where there is no such campaign
-- reads:   campaigns_named, headrace.campaign_standing
-- writes:  nothing
-- locks:   none
SELECT
    i.id,
    c.name,
    c.campaign_id IS NOT NULL AS "exists",
    s.state,
    s.version,
    s.source_rows_then,
    s.source_rows_now
FROM unnest(:campaigns::uuid[]) WITH ORDINALITY AS i (id, place)
LEFT JOIN headrace.campaigns_named(:campaigns::uuid[]) AS c ON i.id = c.campaign_id
LEFT JOIN headrace.campaign_standing AS s ON i.id = s.campaign_id
ORDER BY i.place
