-- purpose: campaigns that the source has fewer rows of than they were frozen from
-- grain:   one row per campaign of :campaigns: the rows then and now, by table
-- reads:   headrace.campaign_standing, source_row_counts
-- writes:  nothing
-- locks:   none
SELECT
    s.campaign_id,
    s.source_rows,
    r.now
FROM headrace.campaign_standing AS s
CROSS JOIN LATERAL (SELECT headrace.source_row_counts(s.campaign_id, s.source_rows) AS now) AS r
WHERE s.campaign_id = ANY(:campaigns::uuid[]) AND headrace.missing_source_rows(s.source_rows, r.now) <> '{}'
