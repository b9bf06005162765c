-- purpose: a webhook's statuses and incoming messages that the application's tables do not have yet, each once
-- grain:   items of webhook_items without a problem; the rows to write, in order, and how many
-- reads:   {{ source }}.send_queue, {{ source }}.message_status_logs, {{ source }}.messages
-- writes:  nothing
-- locks:   none; the caller holds the locks of the message ids
--
-- Ids and statuses are compared by the column's own equality, which can use its index, and also byte by byte: a collation that treats
-- two ids as equal must not lose an item.
CREATE OR REPLACE FUNCTION headrace.new_webhook_items(p_items jsonb, OUT items jsonb, OUT statuses bigint, OUT messages bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_messages jsonb;
BEGIN
    items := '[]';
    statuses := 0;
    messages := 0;
    IF p_items @> '[{"kind": "status"}]' THEN
        SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.n), '[]'), count(*) INTO items, statuses
        FROM (
            SELECT DISTINCT ON (i.message_id COLLATE "C", i.status COLLATE "C", i.at)
                'status' AS kind, i.message_id, i.status, i.at, i.n,
{%- if optional('message_status_logs', 'campaign_id', 'y', '') and type('message_status_logs', 'campaign_id') != 'bigint' %}
                (SELECT q.campaign_id::text FROM {{ source }}.send_queue q WHERE headrace.source_holds('send_queue') AND q.whatsapp_message_id = i.message_id LIMIT 1) AS campaign_id,
{%- else %}
                NULL AS campaign_id,  -- campaign ids are uuids: a column of another type has another meaning
{%- endif %}
                i.errors
            FROM ROWS FROM (
                jsonb_to_recordset(p_items) AS (kind text, message_id text, status text, at timestamptz, errors jsonb)
            ) WITH ORDINALITY i (kind, message_id, status, at, errors, n)
            WHERE i.kind = 'status' AND NOT EXISTS (
                SELECT FROM {{ source }}.message_status_logs l
                WHERE headrace.source_holds('message_status_logs') AND l.whatsapp_message_id = i.message_id AND l.status = i.status AND l.created_at = i.at
                    AND l.whatsapp_message_id::text COLLATE "C" = i.message_id COLLATE "C" AND l.status::text COLLATE "C" = i.status COLLATE "C")
            ORDER BY i.message_id COLLATE "C", i.status COLLATE "C", i.at, i.n
        ) s;
    END IF;

    IF p_items @> '[{"kind": "message"}]' THEN
{%- if optional('messages', 'whatsapp_message_id', 'y', '') %}
        SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.n), '[]'), count(*) INTO v_messages, messages
        FROM (
            SELECT DISTINCT ON (i.message_id COLLATE "C", i.user_phone COLLATE "C", i.whatsapp_number_id COLLATE "C", i.at) i.*
            FROM ROWS FROM (
                jsonb_to_recordset(p_items) AS (
                    kind text, message_id text, user_phone text, whatsapp_number_id text, at timestamptz, reference text)
            ) WITH ORDINALITY i (kind, message_id, user_phone, whatsapp_number_id, at, reference, n)
            WHERE i.kind = 'message' AND NOT EXISTS (
                -- uses the contract's index of incoming messages
                SELECT FROM {{ source }}.messages e
                WHERE headrace.source_holds('messages') AND headrace.source_holds('messages others') AND e.user_phone = i.user_phone AND e.whatsapp_number_id = i.whatsapp_number_id AND e.created_at = i.at
                    AND e.direction = 'incoming' AND e.whatsapp_message_id::text COLLATE "C" = i.message_id COLLATE "C")
            ORDER BY i.message_id COLLATE "C", i.user_phone COLLATE "C", i.whatsapp_number_id COLLATE "C", i.at, i.n
        ) m;
        items := items || v_messages;
{%- else %}
        RAISE EXCEPTION 'table messages lacks column whatsapp_message_id (text), by which a message is known again';
{%- endif %}
    END IF;
END
$$;
