-- purpose: takes in refused webhook items again, after their cause was mended
-- grain:   the rejects named, or all except notices; one row each: what became of it, and why it is still refused (null: it is not)
-- reads:   headrace.webhook_reject, and what webhook_items and take_webhook_items read
-- writes:  what ingest_whatsapp_webhook writes
-- locks:   what take_webhook_items locks, for all of them at once; then the rejects' rows
--
-- p_any_type: also take in messages of types not known to come from a contact; notices are never taken in.
CREATE OR REPLACE FUNCTION headrace.retry_webhook_rejects(p_ids bigint[] DEFAULT NULL, p_any_type boolean DEFAULT false)
RETURNS TABLE (id bigint, stored bigint, repeated bigint, suppressed bigint, reason text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_ids bigint[] := coalesce(p_ids, ARRAY(SELECT r.id FROM headrace.webhook_reject r WHERE NOT r.notice));
    v_missing bigint;
    v_items jsonb;
    v_statuses bigint;
    v_messages bigint;
    v_left jsonb;
    v_taken jsonb;
    v_times bigint;
    r record;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM headrace.refuse_webhook_isolation();
    END IF;
    SELECT min(i) INTO v_missing FROM unnest(v_ids) i WHERE NOT EXISTS (SELECT FROM headrace.webhook_reject k WHERE k.id = i);
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'there is no webhook reject %', v_missing USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM headrace.lock_webhook_buckets(ARRAY(
        SELECT DISTINCT (hashtext(i.message_id) & 255)::smallint
        FROM headrace.webhook_reject k
        CROSS JOIN headrace.webhook_items(
            headrace.webhook_reject_body(k.path, k.item, k.whatsapp_number_id, k.sender), p_any_type) i
        WHERE k.id = ANY (v_ids) AND i.problem IS NULL));
    FOR r IN SELECT k.* FROM headrace.webhook_reject k WHERE k.id = ANY (v_ids) ORDER BY k.id FOR UPDATE LOOP
        SELECT
            coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NULL), '[]'),
            count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'status'), count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'message'),
            coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NOT NULL), '[]')
        INTO v_items, v_statuses, v_messages, v_left
        FROM headrace.webhook_items(headrace.webhook_reject_body(r.path, r.item, r.whatsapp_number_id, r.sender), p_any_type) i;
        v_taken := headrace.take_webhook_items(v_items, v_statuses, v_messages, NULL);  -- locked above
        v_left := v_left || (v_taken -> 'refused');
        id := r.id;
        stored := (v_taken #>> '{statuses,stored}')::bigint + (v_taken #>> '{messages,stored}')::bigint;
        repeated := (v_taken #>> '{statuses,repeated}')::bigint + (v_taken #>> '{messages,repeated}')::bigint;
        suppressed := (v_taken #>> '{statuses,suppressed}')::bigint + (v_taken #>> '{messages,suppressed}')::bigint;
        reason := (v_left #>> '{0,problem}') || CASE WHEN jsonb_array_length(v_left) > 1 THEN '; ...' ELSE '' END;
        IF jsonb_array_length(v_left) = 1 AND v_left #> '{0,item}' = r.item THEN
            -- The same item is refused again, perhaps for another reason, for which it may already be kept.
            IF reason <> r.reason THEN
                DELETE FROM headrace.webhook_reject k
                WHERE md5(k.item::text) = md5(r.item::text) AND md5(k.reason) = md5(retry_webhook_rejects.reason) AND k.path = r.path
                    AND md5(coalesce(k.whatsapp_number_id, '')) = md5(coalesce(r.whatsapp_number_id, ''))
                RETURNING k.times INTO v_times;
                UPDATE headrace.webhook_reject k
                SET reason = retry_webhook_rejects.reason, times = k.times + coalesce(v_times, 0),
                    sender = coalesce(v_left #>> '{0,user_phone}', k.sender)
                WHERE k.id = r.id;
            END IF;
        ELSE
            -- The reject goes; if it was a larger part, its items that are refused are kept instead.
            DELETE FROM headrace.webhook_reject k WHERE k.id = r.id;
            PERFORM headrace.keep_webhook_rejects(v_left);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
