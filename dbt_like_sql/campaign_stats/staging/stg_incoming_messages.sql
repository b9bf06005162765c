-- purpose: incoming messages, with the message they refer to if the application stores it
-- grain:   one row per incoming message
-- reads:   {{ source }}.messages
-- writes:  nothing (inlined by the planner: only functions that pin their search_path call it; no object depends on the table)
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.stg_incoming_messages()
RETURNS TABLE (id {{ type('messages', 'id') }}, user_phone text, whatsapp_number_id text, created_at timestamptz, context_message_id text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT
        m.id, m.user_phone::text, m.whatsapp_number_id::text, m.created_at,
        {{ optional('messages', 'context_message_id', 'm.context_message_id::text', 'NULL::text') }}
    FROM {{ source }}.messages m
    WHERE headrace.source_holds('messages') AND m.direction = 'incoming'
$$;
