-- purpose: the provider's status webhooks, as Headrace reads them
-- grain:   one row per webhook: late, twice and out of order as they came
-- reads:   {{ source }}.message_status_logs
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE VIEW headrace.stg_message_status_logs AS
SELECT
    l.id,
    l.whatsapp_message_id::text AS whatsapp_message_id,
    l.status::text AS status,
    l.created_at
FROM {{ source }}.message_status_logs AS l
