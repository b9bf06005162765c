-- purpose: where campaigns stand: whether they exist, their state and version, and the source rows of an amendment that awaits a decision
-- grain:   one row per given id, in the given order; nulls if there is no such campaign
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
