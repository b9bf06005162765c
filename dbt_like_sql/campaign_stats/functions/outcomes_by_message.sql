-- purpose: the definition by message (docs/decisions.md, 2): what each message counts as by its source rows, beside its stored outcome
-- grain:   one row per id in p_messages; new_* are null if its campaign is neither live nor settling. Two rows if the queue has an id twice
-- reads:   stg_send_queue, stg_message_status_logs, stg_incoming_messages, headrace.campaign, headrace.message_outcome
-- writes:  nothing (inlined by the planner: only functions that pin their search_path call it)
-- locks:   none: the caller holds the campaigns
--
-- Looks up each message by index: callers switch off joins that read whole tables. Empty ids, phones and numbers match nothing.
CREATE OR REPLACE FUNCTION headrace.outcomes_by_message(p_messages text[])
RETURNS TABLE (
    id text, source_campaign uuid, frozen boolean,
    old_campaign uuid, old_template text, old_bits smallint,
    old_sent_at timestamptz, old_delivered_at timestamptz, old_read_at timestamptz, old_replied_at timestamptz,
    new_campaign uuid, new_template text, new_bits smallint,
    new_sent_at timestamptz, new_delivered_at timestamptz, new_read_at timestamptz, new_replied_at timestamptz
)
LANGUAGE sql STABLE
AS $$
    SELECT
        k.id, q.campaign_id AS source_campaign, c.state IN ('frozen', 'amended') AS frozen,
        o.campaign_id AS old_campaign, o.template_name AS old_template, o.bits AS old_bits,
        o.sent_at AS old_sent_at, o.delivered_at AS old_delivered_at, o.read_at AS old_read_at, o.replied_at AS old_replied_at,
        CASE WHEN e.bits IS NOT NULL THEN q.campaign_id END AS new_campaign,
        CASE WHEN e.bits IS NOT NULL THEN headrace.template_key(q.template_name) END AS new_template,
        (e.bits | CASE WHEN r.replied THEN 32 ELSE 0 END)::smallint AS new_bits,
        e.sent_at AS new_sent_at, e.delivered_at AS new_delivered_at, e.read_at AS new_read_at, r.replied_at AS new_replied_at
    FROM unnest(p_messages) k (id)
    LEFT JOIN headrace.message_outcome o ON o.message_id = k.id
    LEFT JOIN headrace.stg_send_queue() q ON q.id = k.id::{{ type('send_queue', 'id') }}
    LEFT JOIN headrace.campaign c ON c.campaign_id = q.campaign_id
    LEFT JOIN LATERAL (
        SELECT
            headrace.message_bits(q.status, l.evidence) AS bits,
            least(CASE WHEN q.status = 'sent' THEN q.at END, l.sent_at) AS sent_at, l.delivered_at, l.read_at
        FROM (
            SELECT
                bit_or(s.bits) AS evidence, min(s.created_at) FILTER (WHERE s.bits & 1 > 0) AS sent_at,
                min(s.created_at) FILTER (WHERE s.bits & 2 > 0) AS delivered_at, min(s.created_at) FILTER (WHERE s.bits & 4 > 0) AS read_at
            FROM (
                SELECT headrace.status_bits(x.status) AS bits, x.created_at FROM headrace.stg_message_status_logs() x
                WHERE x.whatsapp_message_id = q.whatsapp_message_id AND q.whatsapp_message_id <> ''
            ) s
        ) l
        WHERE c.state IN ('live', 'settling')
        OFFSET 0  -- computed once, not once per mention
    ) e ON true
    LEFT JOIN LATERAL (
        SELECT count(*) > 0 AS replied, min(y.created_at) AS replied_at
        FROM (
            SELECT x.created_at FROM headrace.stg_incoming_messages() x
            WHERE x.context_message_id = q.whatsapp_message_id AND q.whatsapp_message_id <> ''
            UNION ALL
            SELECT m.created_at FROM headrace.stg_incoming_messages() m
            WHERE m.user_phone = q.user_phone AND m.whatsapp_number_id = q.whatsapp_number_id
                AND q.user_phone <> '' AND q.whatsapp_number_id <> ''
                AND m.created_at > q.at AND coalesce(m.context_message_id, '') = ''
                AND extract(EPOCH FROM m.created_at) - extract(EPOCH FROM q.at) <= headrace.reply_window()
                AND NOT EXISTS (
                    SELECT FROM headrace.stg_send_queue() n
                    WHERE n.user_phone = q.user_phone AND n.whatsapp_number_id = q.whatsapp_number_id
                        AND (n.at, n.id) > (q.at, q.id) AND n.at < m.created_at
                        AND (n.status = 'sent' OR EXISTS (
                            SELECT FROM headrace.stg_message_status_logs() l
                            WHERE l.whatsapp_message_id = n.whatsapp_message_id AND n.whatsapp_message_id <> ''
                                AND headrace.status_bits(l.status) & 1 > 0)))
        ) y
        WHERE e.bits & 1 > 0
        OFFSET 0
    ) r ON true
    OFFSET 0
$$;
