-- purpose: how many source rows a campaign is counted from, to notice later whether some are gone
-- grain:   one campaign: its queue rows, their statuses, the incoming messages that may be replies to them
-- reads:   stg_send_queue, stg_message_status_logs, stg_incoming_messages
-- writes:  nothing
-- locks:   none
--
-- Incoming messages are those in the campaign's conversations from its first message to the end of its last one's reply window
-- (messages_from, messages_until: epoch seconds), no matter whose replies they are, so that changes of other rows never make them
-- fewer. p_like: an earlier result to compare with; its stretch of time is used.
CREATE OR REPLACE FUNCTION headrace.source_row_counts(p_campaign_id uuid, p_like jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
    WITH stretch AS (
        SELECT
            coalesce((p_like ->> 'messages_from')::numeric, greatest(extract(EPOCH FROM min(q.at)), -1e12)) AS since,
            coalesce((p_like ->> 'messages_until')::numeric, least(extract(EPOCH FROM max(q.at)), 1e12) + headrace.reply_window()) AS until
        FROM headrace.stg_send_queue() q WHERE q.campaign_id = p_campaign_id
    )
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'send_queue', (SELECT count(*) FROM headrace.stg_send_queue() q WHERE q.campaign_id = p_campaign_id),
        'message_status_logs', (
            SELECT count(*) FROM headrace.stg_message_status_logs() l
            WHERE l.whatsapp_message_id IN (
                SELECT q.whatsapp_message_id FROM headrace.stg_send_queue() q
                WHERE q.campaign_id = p_campaign_id AND q.whatsapp_message_id <> '')),
        'messages', (
            SELECT count(*) FROM headrace.stg_incoming_messages() m
            WHERE coalesce(m.context_message_id, '') = '' AND extract(EPOCH FROM m.created_at) BETWEEN s.since AND s.until
                AND (m.user_phone, m.whatsapp_number_id) IN (
                    SELECT q.user_phone, q.whatsapp_number_id FROM headrace.stg_send_queue() q
                    WHERE q.campaign_id = p_campaign_id AND q.user_phone <> '' AND q.whatsapp_number_id <> '')
        ) + (
            SELECT count(*) FROM headrace.stg_incoming_messages() m
            WHERE m.context_message_id IN (
                SELECT q.whatsapp_message_id FROM headrace.stg_send_queue() q
                WHERE q.campaign_id = p_campaign_id AND q.whatsapp_message_id <> '')),
        'messages_from', s.since, 'messages_until', s.until))
    FROM stretch s
$$;
