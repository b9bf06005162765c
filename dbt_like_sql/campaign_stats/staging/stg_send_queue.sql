-- purpose: the application's queued messages, with the moment each stands for in its conversation
-- grain:   one row per send_queue row
-- reads:   {{ source }}.send_queue
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE VIEW headrace.stg_send_queue AS
SELECT
    q.id,
    q.campaign_id,
    q.template_name::text AS template_name,
    q.status::text AS status,
    q.whatsapp_message_id::text AS whatsapp_message_id,
    q.user_phone::text AS user_phone,
    q.whatsapp_number_id::text AS whatsapp_number_id,
    coalesce(q.sent_at, q.created_at) AS at
FROM {{ source }}.send_queue AS q
