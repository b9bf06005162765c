-- purpose: the provider's status webhooks, as Headrace reads them
-- grain:   one row per webhook as it came: late, repeated, out of order
-- reads:   {{ source }}.message_status_logs
-- writes:  nothing (inlined by the planner: only functions that pin their search_path call it; no object depends on the table)
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.stg_message_status_logs()
RETURNS TABLE (id {{ type('message_status_logs', 'id') }}, whatsapp_message_id text, status text, created_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT l.id, l.whatsapp_message_id::text, l.status::text, l.created_at
    FROM {{ source }}.message_status_logs l
    WHERE headrace.source_holds('message_status_logs')
$$;
