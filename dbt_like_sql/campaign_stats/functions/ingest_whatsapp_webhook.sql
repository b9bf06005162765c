-- purpose: takes in a webhook body of the WhatsApp Cloud API: statuses and incoming messages into the application's tables
-- grain:   one call per body as delivered; what was taken in, and what not and why, as one document
-- reads:   webhook_items, stg_send_queue, the two tables it writes
-- writes:  {{ source }}.message_status_logs, {{ source }}.messages, headrace.webhook_reject
-- locks:   advisory locks, one for each 256th of message ids, in order: two deliveries of one item wait for each other
--
-- Each once however often it is delivered: a status by message id, status and timestamp, an incoming message by message id,
-- sender, number and timestamp, compared with the rows that are there. That is why the lock comes in a statement of its
-- own before the comparison, and why only READ COMMITTED, where each statement has a new snapshot, will do.
CREATE OR REPLACE FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_items jsonb;  -- those without a problem
    v_item jsonb;
    v_rejected jsonb;
    v_stored jsonb;
    v_code text;
    v_error text;
    v_found_statuses bigint;
    v_found_messages bigint;
    v_statuses bigint := 0;
    v_messages bigint := 0;
    v_refused_statuses bigint := 0;
    v_refused_messages bigint := 0;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'ingest_whatsapp_webhook would store repeated deliveries twice in a % transaction',
            upper(current_setting('transaction_isolation'))
        USING ERRCODE = 'invalid_transaction_state', HINT = 'Call it in a READ COMMITTED transaction, PostgreSQL''s default.';
    END IF;
    SELECT
        coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NULL), '[]'),
        coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NOT NULL), '[]'),
        count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'status'), count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'message')
    INTO v_items, v_rejected, v_found_statuses, v_found_messages
    FROM headrace.webhook_items(p_body) i;

    PERFORM pg_advisory_xact_lock(1752197741, b.bucket)
    FROM (SELECT DISTINCT hashtext(i ->> 'message_id') & 255 AS bucket FROM jsonb_array_elements(v_items) i ORDER BY 1) b;
    BEGIN
        v_stored := headrace.store_webhook_items(v_items);
        v_statuses := (v_stored ->> 'statuses')::bigint;
        v_messages := (v_stored ->> 'messages')::bigint;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation OR raise_exception THEN
        -- One of them is at fault, or several: the others are taken in one by one.
        FOR v_item IN SELECT i FROM jsonb_array_elements(v_items) i LOOP
            BEGIN
                v_stored := headrace.store_webhook_items(jsonb_build_array(v_item));
                v_statuses := v_statuses + (v_stored ->> 'statuses')::bigint;
                v_messages := v_messages + (v_stored ->> 'messages')::bigint;
            EXCEPTION WHEN data_exception OR integrity_constraint_violation OR raise_exception THEN
                GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_error = MESSAGE_TEXT;
                v_rejected := v_rejected || (v_item || jsonb_build_object('problem', v_code || ' ' || v_error));
                v_refused_statuses := v_refused_statuses + (v_item ->> 'kind' = 'status')::integer;
                v_refused_messages := v_refused_messages + (v_item ->> 'kind' = 'message')::integer;
            END;
        END LOOP;
    END;
{%- if not optional('message_status_logs', 'errors', 'y', '') %}
    -- The errors have no column to be kept in.
    v_rejected := v_rejected || coalesce((
        SELECT jsonb_agg(i || '{"problem": "taken in without its errors: table message_status_logs lacks column errors (jsonb)"}')
        FROM jsonb_array_elements(v_items) i WHERE i ->> 'kind' = 'status' AND jsonb_typeof(i -> 'errors') = 'array'), '[]');
{%- endif %}

    INSERT INTO headrace.webhook_reject AS r (path, reason, item, whatsapp_number_id)
    SELECT DISTINCT ON (md5((i -> 'item')::text), i ->> 'problem', i ->> 'path')
        i ->> 'path', i ->> 'problem', i -> 'item', i ->> 'whatsapp_number_id'
    FROM jsonb_array_elements(v_rejected) i
    ORDER BY md5((i -> 'item')::text), i ->> 'problem', i ->> 'path'
    ON CONFLICT (md5(item::text), reason, path) DO UPDATE SET times = r.times + 1, last_at = clock_timestamp();

    RETURN jsonb_build_object(
        'statuses', jsonb_build_object(
            'stored', v_statuses, 'repeated', v_found_statuses - v_refused_statuses - v_statuses),
        'messages', jsonb_build_object(
            'stored', v_messages, 'repeated', v_found_messages - v_refused_messages - v_messages),
        'rejected', coalesce((
            SELECT jsonb_agg(jsonb_build_object('path', i -> 'path', 'reason', i -> 'problem')) FROM jsonb_array_elements(v_rejected) i), '[]'));
END
$$;
