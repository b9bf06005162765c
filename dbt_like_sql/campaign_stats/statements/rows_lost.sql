-- purpose: frozen campaigns of which the source has fewer rows now than when they were frozen
-- grain:   one row per campaign: rows by table, then and now
-- reads:   headrace.campaign, source_row_counts: as dear as a recompute
-- writes:  nothing
-- locks:   none
SELECT
    k.campaign_id,
    k.source_rows AS rows_then,
    r.rows_now
FROM headrace.campaign AS k
CROSS JOIN LATERAL (SELECT headrace.source_row_counts(k.campaign_id, k.source_rows) AS rows_now) AS r
WHERE k.campaign_id = ANY(:campaigns::uuid[]) AND headrace.missing_source_rows(k.source_rows, r.rows_now) <> '{}'
