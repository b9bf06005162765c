-- purpose: the earlier versions of a frozen campaign's document, and what each amendment changed
-- grain:   one row per amendment, in order
-- reads:   headrace.campaign_stats_amendment
-- writes:  nothing
-- locks:   none
SELECT
    a.version,
    to_jsonb(a.frozen_at) #>> '{}' AS frozen_at,
    to_jsonb(a.amended_at) #>> '{}' AS amended_at,
    a.why,
    a.changed
FROM headrace.campaign_stats_amendment AS a
WHERE a.campaign_id = :campaign
ORDER BY a.id
