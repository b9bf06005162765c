-- purpose: campaigns created in a window whose documents are missing or differ from the counters
-- grain:   one row per campaign
-- reads:   campaigns_created, headrace.document_agreement
-- writes:  nothing
-- locks:   none
--
-- Frozen documents are left alone: the check reports their faults, and a rebuild amends them on record.
SELECT c.campaign_id
FROM headrace.campaigns_created(:start, :end) AS c
LEFT JOIN headrace.document_agreement AS a ON c.campaign_id = a.campaign_id
WHERE a.frozen IS NOT TRUE AND a.agrees IS NOT TRUE
ORDER BY c.campaign_id
