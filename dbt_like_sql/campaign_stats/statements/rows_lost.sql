-- purpose: frozen campaigns that have fewer source rows now than when they were frozen
-- grain:   one row per campaign: rows by table, then and now
-- reads:   headrace.campaign_standing, and what source_row_counts reads
-- writes:  nothing
-- locks:   none
SELECT
    s.campaign_id,
    s.source_rows AS rows_then,
    r.rows_now
FROM headrace.campaign_standing AS s
CROSS JOIN LATERAL (SELECT headrace.source_row_counts(s.campaign_id, s.source_rows) AS rows_now) AS r
WHERE s.campaign_id = ANY(:campaigns::uuid[]) AND headrace.missing_source_rows(s.source_rows, r.rows_now) <> '{}'
