-- purpose: the definition: what each message counts as and since when, computed from the source rows (docs/decisions.md, 2)
-- grain:   one row per send_queue row of an existing campaign
-- reads:   {{ source }}.send_queue, stg_send_queue, stg_message_status_logs, stg_incoming_messages, stg_campaigns
-- writes:  nothing (inlined by the planner: only functions that pin their search_path call it)
-- locks:   none
--
-- Each time is that of the first evidence; null if unknown. Statuses are aggregated per message before anything is counted, so that no
-- join multiplies rows. The search for replies starts from the incoming messages: conversations without one cost nothing. An empty
-- message id, reference, phone or number matches nothing, as null does. campaign_id is in both join conditions so that
-- WHERE campaign_id = ... reaches every scan.
CREATE OR REPLACE FUNCTION headrace.message_outcome_live()
RETURNS TABLE (
    id {{ type('send_queue', 'id') }}, campaign_id uuid, template_name text, bits integer,
    sent_at timestamptz, delivered_at timestamptz, read_at timestamptz, replied_at timestamptz
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT
        s.id, s.campaign_id, s.template_name,
        s.bits | CASE WHEN s.bits & 1 > 0 AND r.id IS NOT NULL THEN 32 ELSE 0 END,
        s.sent_at, s.delivered_at, s.read_at,
        CASE WHEN s.bits & 1 > 0 THEN r.replied_at END
    FROM (
        SELECT
            q.id, q.campaign_id, q.template_name::text AS template_name,
            headrace.message_bits(q.status::text, bit_or(headrace.status_bits(l.status))) AS bits,
            least(
                CASE WHEN q.status = 'sent' THEN min(coalesce(q.sent_at, q.created_at)) END,
                min(l.created_at) FILTER (WHERE headrace.status_bits(l.status) & 1 > 0)
            ) AS sent_at,
            min(l.created_at) FILTER (WHERE headrace.status_bits(l.status) & 2 > 0) AS delivered_at,
            min(l.created_at) FILTER (WHERE headrace.status_bits(l.status) & 4 > 0) AS read_at
        FROM {{ source }}.send_queue q
        LEFT JOIN headrace.stg_message_status_logs() l ON q.whatsapp_message_id::text = l.whatsapp_message_id AND l.whatsapp_message_id <> ''
        WHERE headrace.source_holds('send_queue')
        GROUP BY q.id, q.campaign_id, q.template_name, q.status
    ) s
    INNER JOIN headrace.stg_campaigns() c ON s.campaign_id = c.campaign_id
    LEFT JOIN (
        SELECT u.id, u.campaign_id, min(u.created_at) AS replied_at
        FROM (
            SELECT q.id, q.campaign_id, m.created_at
            FROM headrace.stg_incoming_messages() m
            INNER JOIN headrace.stg_send_queue() q
                ON m.user_phone = q.user_phone AND m.whatsapp_number_id = q.whatsapp_number_id AND m.created_at > q.at
                    AND extract(EPOCH FROM m.created_at) - extract(EPOCH FROM q.at) <= headrace.reply_window()
            WHERE coalesce(m.context_message_id, '') = '' AND m.user_phone <> '' AND m.whatsapp_number_id <> '' AND NOT EXISTS (
                SELECT FROM headrace.stg_send_queue() n
                WHERE n.user_phone = q.user_phone AND n.whatsapp_number_id = q.whatsapp_number_id
                    AND (n.at, n.id) > (q.at, q.id) AND n.at < m.created_at
                    AND (n.status = 'sent' OR EXISTS (
                        SELECT FROM headrace.stg_message_status_logs() l
                        WHERE l.whatsapp_message_id = n.whatsapp_message_id AND n.whatsapp_message_id <> ''
                            AND headrace.status_bits(l.status) & 1 > 0)))
            UNION ALL
            SELECT q.id, q.campaign_id, m.created_at
            FROM headrace.stg_incoming_messages() m
            INNER JOIN headrace.stg_send_queue() q ON m.context_message_id = q.whatsapp_message_id
            WHERE m.context_message_id <> ''
        ) u
        GROUP BY u.id, u.campaign_id
    ) r ON s.id = r.id AND s.campaign_id = r.campaign_id
$$;
