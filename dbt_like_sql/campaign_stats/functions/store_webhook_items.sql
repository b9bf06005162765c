-- purpose: writes statuses and incoming messages into the application's tables
-- grain:   the rows of new_webhook_items; how many of each kind the tables took, because a trigger may suppress a row
-- reads:   pg_constraint; none of the application's rows: its owner needs only INSERT there, and what the application's triggers need
-- writes:  {{ source }}.message_status_logs, {{ source }}.messages
-- locks:   none; the caller holds the locks of the message ids
--
-- The application's triggers run here, which is why this is a separate function and all others keep their rights to themselves. The
-- triggers find the application's schema on the search_path; the function itself does not depend on it: all names are qualified, and so
-- are the operators. Deferred constraints are checked at once: failing at the end of the transaction, they would undo the whole delivery.
CREATE OR REPLACE FUNCTION headrace.store_webhook_items(p_items jsonb, OUT statuses bigint, OUT messages bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {{ source }}, pg_temp
AS $$
DECLARE
    v_tables pg_catalog.oid[] := ARRAY[{{ regclass('message_status_logs') }}, {{ regclass('messages') }}]::pg_catalog.regclass[]::pg_catalog.oid[];
    v_deferred pg_catalog.text;
BEGIN
    statuses := 0;
    messages := 0;
    IF p_items OPERATOR(pg_catalog.@>) '[{"kind": "status"}]'::pg_catalog.jsonb THEN
        INSERT INTO {{ source }}.message_status_logs (
            whatsapp_message_id, status, created_at
            {{- optional('message_status_logs', 'campaign_id', ', campaign_id', '') }}{{ optional('message_status_logs', 'errors', ', errors', '') }})
        SELECT
            i.message_id, i.status, i.at
            {{- optional('message_status_logs', 'campaign_id', ', i.campaign_id', '') }}{{ optional('message_status_logs', 'errors', ', i.errors', '') }}
        FROM pg_catalog.jsonb_to_recordset(p_items) AS i (
            kind pg_catalog.text, message_id pg_catalog.text, status pg_catalog.text, at pg_catalog.timestamptz, errors pg_catalog.jsonb
            {{- optional('message_status_logs', 'campaign_id', ', campaign_id ', '') }}
            {{- optional('message_status_logs', 'campaign_id', type('message_status_logs', 'campaign_id'), '') }})
        WHERE i.kind OPERATOR(pg_catalog.=) 'status'::pg_catalog.text;
        GET DIAGNOSTICS statuses = ROW_COUNT;
    END IF;
{%- if optional('messages', 'whatsapp_message_id', 'y', '') %}
    IF p_items OPERATOR(pg_catalog.@>) '[{"kind": "message"}]'::pg_catalog.jsonb THEN
        INSERT INTO {{ source }}.messages (
            whatsapp_message_id, user_phone, whatsapp_number_id, direction, created_at
            {{- optional('messages', 'context_message_id', ', context_message_id', '') }})
        SELECT
            i.message_id, i.user_phone, i.whatsapp_number_id, 'incoming', i.at
            {{- optional('messages', 'context_message_id', ', i.reference', '') }}
        FROM pg_catalog.jsonb_to_recordset(p_items) AS i (
            kind pg_catalog.text, message_id pg_catalog.text, user_phone pg_catalog.text, whatsapp_number_id pg_catalog.text,
            at pg_catalog.timestamptz, reference pg_catalog.text)
        WHERE i.kind OPERATOR(pg_catalog.=) 'message'::pg_catalog.text;
        GET DIAGNOSTICS messages = ROW_COUNT;
    END IF;
{%- endif %}
    IF EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid OPERATOR(pg_catalog.=) v_tables[1] AND c.condeferred)
        OR EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid OPERATOR(pg_catalog.=) v_tables[2] AND c.condeferred)
    THEN
        SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, c.conname), ', ') INTO v_deferred
        FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.connamespace
        WHERE c.condeferred AND c.conrelid OPERATOR(pg_catalog.=) ANY (v_tables);
        EXECUTE pg_catalog.concat('SET CONSTRAINTS ', v_deferred, ' IMMEDIATE');
        EXECUTE pg_catalog.concat('SET CONSTRAINTS ', v_deferred, ' DEFERRED');
    END IF;
END
$$;
