-- purpose: webhook items that were not taken in, for the terminal
-- grain:   one row per item, the newest first, at most `most`; the provider's notices only if `notices`
-- reads:   headrace.webhook_reject
-- writes:  nothing
-- locks:   none
SELECT
    r.id,
    r.reason,
    r.path,
    r.times,
    to_jsonb(r.last_at) #>> '{}' AS last_at,
    to_jsonb(r.first_at) #>> '{}' AS first_at,
    r.whatsapp_number_id,
    r.notice
FROM headrace.webhook_reject AS r
WHERE :notices OR NOT r.notice
ORDER BY r.id DESC
LIMIT :most
