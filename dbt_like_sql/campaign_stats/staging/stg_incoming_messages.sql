-- purpose: the messages that came in, with the message they refer to where the application keeps it
-- grain:   one row per incoming message
-- reads:   {{ source }}.messages
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE VIEW headrace.stg_incoming_messages AS
SELECT
    m.id,
    m.user_phone::text AS user_phone,
    m.whatsapp_number_id::text AS whatsapp_number_id,
    m.created_at,
    {{ optional('messages', 'context_message_id', 'm.context_message_id::text', 'NULL::text') }} AS context_message_id
FROM {{ source }}.messages AS m
WHERE m.direction = 'incoming'
