-- purpose: recounts messages from the source rows and adds the differences to their campaigns' statistics
-- grain:   the send_queue ids named, and a guess at their campaigns; the number of messages that count differently now
-- reads:   outcomes_by_message
-- writes:  what apply_outcomes writes; for late messages of frozen campaigns what request_amendments writes
-- locks:   the campaigns' own rows, in id order, before the source is read
--
-- Folds and rebuilds follow one protocol: (a) lock the campaigns that the messages count for or will count for, (b) only then, in a
-- new statement, read the source rows and the stored outcomes, (c) check that the locks covered them, (d) apply the differences.
-- Holding a message's campaign keeps its outcome stable. If a message turns out to belong to a campaign that is not held, that one is
-- locked too and the source read again. p_late: the only messages that may request an amendment; null: all. p_recounted: see
-- apply_outcomes.
CREATE OR REPLACE FUNCTION headrace.fold_messages(
    p_messages text[], p_campaigns uuid[], p_late text[] DEFAULT NULL, p_recounted uuid[] DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET random_page_cost = 1.1
SET jit = off
AS $$
DECLARE
    v_campaigns uuid[] := array_remove(coalesce(p_campaigns, '{}'), NULL);
    v_many boolean;
    v_seen uuid[];
    v_unlocked uuid[];
    v_late text[];  -- messages of frozen campaigns: not folded, an amendment is requested
    v_late_campaigns uuid[];
    v_changes headrace.outcome_change[];
BEGIN
    IF cardinality(p_messages) = 0 THEN
        RETURN 0;
    END IF;
    LOOP
        PERFORM headrace.lock_campaigns(v_campaigns);
        v_many := cardinality(v_campaigns) > 100;
        SELECT
            array_agg(ROW(
                d.id,
                d.old_campaign, d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at,
                d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
            )::headrace.outcome_change) FILTER (
                WHERE (d.old_campaign, d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at)
                IS DISTINCT FROM (d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at)),
            array_agg(d.old_campaign) FILTER (WHERE d.old_campaign IS NOT NULL AND (v_many OR d.old_campaign <> ALL (v_campaigns)))
                || array_agg(d.source_campaign) FILTER (
                    WHERE d.source_campaign IS NOT NULL AND (v_many OR d.source_campaign <> ALL (v_campaigns))),
            array_agg(d.id) FILTER (WHERE d.frozen AND (p_late IS NULL OR d.id = ANY (p_late))),
            array_agg(d.source_campaign) FILTER (WHERE d.frozen AND (p_late IS NULL OR d.id = ANY (p_late)))
        INTO v_changes, v_seen, v_late, v_late_campaigns
        FROM headrace.outcomes_by_message(p_messages) d;
        EXIT WHEN v_seen IS NULL;
        -- By sets if there are many: comparing thousands with thousands one by one takes minutes.
        v_unlocked := ARRAY(SELECT unnest(v_seen) EXCEPT SELECT unnest(v_campaigns));
        EXIT WHEN v_unlocked = '{}';
        v_campaigns := v_campaigns || v_unlocked;
    END LOOP;
    IF v_late IS NOT NULL THEN
        PERFORM headrace.request_amendments(v_late_campaigns, v_late);
    END IF;
    RETURN headrace.apply_outcomes(v_changes, p_recounted);
END
$$;
