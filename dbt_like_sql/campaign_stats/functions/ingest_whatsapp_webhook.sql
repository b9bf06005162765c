-- purpose: takes in a webhook body of the WhatsApp Cloud API: writes its statuses and incoming messages to the application's tables
-- grain:   one call per body as delivered; one document: what was taken in, and what was not and why
-- reads:   what webhook_items and take_webhook_items read
-- writes:  {{ source }}.message_status_logs, {{ source }}.messages, headrace.webhook_reject
-- locks:   what take_webhook_items locks
--
-- Each item is stored once, however often it is delivered: a status is identified by message id, status and timestamp, an incoming
-- message by message id, sender, number and timestamp. New items are compared with the rows that are there, so the lock must be taken
-- in a separate statement before, and only READ COMMITTED will do, where each statement has a new snapshot.
CREATE OR REPLACE FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_items jsonb;  -- without those that have a problem
    v_statuses bigint;
    v_messages bigint;
    v_buckets smallint[];
    v_rejected jsonb;
    v_taken jsonb;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM headrace.refuse_webhook_isolation();
    END IF;
    SELECT
        coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NULL), '[]'),
        count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'status'), count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'message'),
        array_agg(DISTINCT (hashtext(i.message_id) & 255)::smallint) FILTER (WHERE i.problem IS NULL),
        coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NOT NULL), '[]')
    INTO v_items, v_statuses, v_messages, v_buckets, v_rejected
    FROM headrace.webhook_items(p_body) i;
    v_taken := headrace.take_webhook_items(v_items, v_statuses, v_messages, v_buckets);
    v_rejected := v_rejected || (v_taken -> 'refused');
    v_taken := v_taken - 'refused';
    IF v_rejected = '[]' THEN
        RETURN v_taken || '{"rejected": []}';
    END IF;
    PERFORM headrace.keep_webhook_rejects(v_rejected);
    RETURN v_taken || jsonb_build_object('rejected', (
        SELECT jsonb_agg(jsonb_build_object('path', i -> 'path', 'reason', i -> 'problem')) FROM jsonb_array_elements(v_rejected) i));
END
$$;
