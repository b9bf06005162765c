-- purpose: the application's queued messages, each with its moment in the conversation
-- grain:   one row per send_queue row
-- reads:   {{ source }}.send_queue
-- writes:  nothing (inlined by the planner: only functions that pin their search_path call it; no object depends on the table)
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.stg_send_queue()
RETURNS TABLE (
    id {{ type('send_queue', 'id') }}, campaign_id uuid, template_name text, status text,
    whatsapp_message_id text, user_phone text, whatsapp_number_id text, at timestamptz
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT
        q.id, q.campaign_id, q.template_name::text, q.status::text,
        q.whatsapp_message_id::text, q.user_phone::text, q.whatsapp_number_id::text, coalesce(q.sent_at, q.created_at)
    FROM {{ source }}.send_queue q
    WHERE headrace.source_holds('send_queue')
$$;
