-- purpose: how many source rows a campaign's statistics are counted from, to notice later that some are gone
-- grain:   one campaign: its queue rows, their statuses, the incoming messages that can be replies in the reply window
-- reads:   stg_send_queue, stg_message_status_logs, stg_incoming_messages
-- writes:  nothing
-- locks:   none
--
-- Incoming messages are counted by their place in the conversation, whosever reply they are: another campaign may take a
-- reply, but cannot make there be fewer.
CREATE OR REPLACE FUNCTION headrace.source_row_counts(p_campaign_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
    SELECT jsonb_build_object(
        'reply_window', headrace.reply_window(),
        'send_queue', (SELECT count(*) FROM headrace.stg_send_queue q WHERE q.campaign_id = p_campaign_id),
        'message_status_logs', (
            SELECT count(*) FROM headrace.stg_message_status_logs l
            WHERE l.whatsapp_message_id IN (SELECT q.whatsapp_message_id FROM headrace.stg_send_queue q WHERE q.campaign_id = p_campaign_id)),
        'messages', (
            SELECT count(*) FROM (
                SELECT m.id FROM headrace.stg_incoming_messages m
                INNER JOIN headrace.stg_send_queue q
                    ON q.user_phone = m.user_phone AND q.whatsapp_number_id = m.whatsapp_number_id AND m.created_at > q.at
                        AND extract(EPOCH FROM m.created_at) - extract(EPOCH FROM q.at) <= headrace.reply_window()
                WHERE q.campaign_id = p_campaign_id AND m.context_message_id IS NULL
                UNION
                SELECT m.id FROM headrace.stg_incoming_messages m
                INNER JOIN headrace.stg_send_queue q ON q.whatsapp_message_id = m.context_message_id
                WHERE q.campaign_id = p_campaign_id
            ) u))
$$;
