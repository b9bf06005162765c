-- purpose: faults of documents, for display
-- grain:   one row per fault, at most `most`; with the number of faults and of campaigns
-- reads:   headrace.document_faults
-- writes:  nothing
-- locks:   none
SELECT
    r.campaign_id,
    r.place,
    r.is_total,
    r.template_name,
    r.problem,
    r.said,
    r.counted,
    count(*) OVER () AS faults,
    max(r.nth) OVER () AS campaigns
FROM (
    SELECT
        f.*,
        dense_rank() OVER (ORDER BY f.campaign_id) AS nth
    FROM headrace.document_faults AS f
) AS r
ORDER BY r.campaign_id, r.is_total, r.template_name, r.problem
LIMIT :most
