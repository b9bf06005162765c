-- purpose: campaigns of a window whose documents are missing, or do not say what the counters say
-- grain:   one row per campaign
-- reads:   campaigns_created, headrace.document_agreement
-- writes:  nothing
-- locks:   none
--
-- Frozen ones stand: the check says what is wrong with them, and a rebuild amends them on record.
SELECT c.campaign_id
FROM headrace.campaigns_created(:start, :end) AS c
LEFT JOIN headrace.document_agreement AS a ON c.campaign_id = a.campaign_id
WHERE a.frozen IS NOT TRUE AND a.agrees IS NOT TRUE
ORDER BY c.campaign_id
