-- purpose: writes statuses and incoming messages of a webhook that are not there yet
-- grain:   items as webhook_items gives them, none with a problem; how many rows of each kind were written
-- reads:   stg_send_queue, the two tables it writes
-- writes:  {{ source }}.message_status_logs, {{ source }}.messages
-- locks:   none of its own: the caller holds those of the message ids
CREATE OR REPLACE FUNCTION headrace.store_webhook_items(p_items jsonb) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_statuses bigint := 0;
    v_messages bigint := 0;
BEGIN
    IF p_items @> '[{"kind": "status"}]' THEN
        INSERT INTO {{ source }}.message_status_logs (
            whatsapp_message_id, status, created_at
            {{- optional('message_status_logs', 'campaign_id', ', campaign_id', '') }}{{ optional('message_status_logs', 'errors', ', errors', '') }})
        SELECT
            s.message_id, s.status, s.at
            {{- optional('message_status_logs', 'campaign_id', ', s.campaign_id', '') }}{{ optional('message_status_logs', 'errors', ', s.errors', '') }}
        FROM (
            SELECT DISTINCT ON (i.message_id, i.status, i.at)
                i.message_id, i.status, i.at, i.n,
{%- if optional('message_status_logs', 'campaign_id', 'y', '') %}
{%- if type('message_status_logs', 'campaign_id') == 'bigint' %}
                NULL::bigint AS campaign_id,  -- a campaign's id is a uuid: whatever this column means, it is not that
{%- else %}
                (
                    SELECT q.campaign_id::text::{{ type('message_status_logs', 'campaign_id') }} FROM headrace.stg_send_queue q
                    WHERE q.whatsapp_message_id = i.message_id LIMIT 1
                ) AS campaign_id,
{%- endif %}
{%- endif %}
                i.errors
            FROM ROWS FROM (
                jsonb_to_recordset(p_items) AS (kind text, message_id text, status text, at timestamptz, errors jsonb)
            ) WITH ORDINALITY i (kind, message_id, status, at, errors, n)
            WHERE i.kind = 'status' AND NOT EXISTS (
                SELECT FROM {{ source }}.message_status_logs l
                WHERE l.whatsapp_message_id = i.message_id AND l.status = i.status AND l.created_at = i.at)
            ORDER BY i.message_id, i.status, i.at, i.n
        ) s
        ORDER BY s.n;
        GET DIAGNOSTICS v_statuses = ROW_COUNT;
    END IF;

    IF p_items @> '[{"kind": "message"}]' THEN
{%- if optional('messages', 'whatsapp_message_id', 'y', '') %}
        INSERT INTO {{ source }}.messages (
            whatsapp_message_id, user_phone, whatsapp_number_id, direction, created_at
            {{- optional('messages', 'context_message_id', ', context_message_id', '') }})
        SELECT
            m.message_id, m.user_phone, m.whatsapp_number_id, 'incoming', m.at
            {{- optional('messages', 'context_message_id', ', m.reference', '') }}
        FROM (
            SELECT DISTINCT ON (i.message_id, i.user_phone, i.whatsapp_number_id, i.at) i.*
            FROM ROWS FROM (
                jsonb_to_recordset(p_items) AS (
                    kind text, message_id text, user_phone text, whatsapp_number_id text, at timestamptz, reference text)
            ) WITH ORDINALITY i (kind, message_id, user_phone, whatsapp_number_id, at, reference, n)
            WHERE i.kind = 'message' AND NOT EXISTS (
                -- by the contract's index of incoming messages
                SELECT FROM {{ source }}.messages e
                WHERE e.user_phone = i.user_phone AND e.whatsapp_number_id = i.whatsapp_number_id AND e.created_at = i.at
                    AND e.direction = 'incoming' AND e.whatsapp_message_id = i.message_id)
            ORDER BY i.message_id, i.user_phone, i.whatsapp_number_id, i.at, i.n
        ) m
        ORDER BY m.n;
        GET DIAGNOSTICS v_messages = ROW_COUNT;
{%- else %}
        RAISE EXCEPTION 'table messages lacks column whatsapp_message_id (text), by which a message is known again';
{%- endif %}
    END IF;
    RETURN jsonb_build_object('statuses', v_statuses, 'messages', v_messages);
END
$$;
