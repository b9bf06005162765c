-- purpose: where the campaigns that an operator names stand, to say what was and what became of them
-- grain:   one row per campaign named, in that order; nulls for one that is not there
-- reads:   campaigns_named, headrace.campaign_standing
-- writes:  nothing
-- locks:   none
SELECT
    i.id,
    c.name,
    c.campaign_id IS NOT NULL AS exists_there,
    s.state,
    s.version,
    s.frozen_at,
    s.source_rows_then,
    s.source_rows_now
FROM unnest(:campaigns::uuid[]) WITH ORDINALITY AS i (id, place)
LEFT JOIN headrace.campaigns_named(:campaigns::uuid[]) AS c ON i.id = c.campaign_id
LEFT JOIN headrace.campaign_standing AS s ON i.id = s.campaign_id
ORDER BY i.place
