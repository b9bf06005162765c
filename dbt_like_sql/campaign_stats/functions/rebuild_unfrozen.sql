-- purpose: the part of rebuild_campaign_stats for campaigns that are not frozen: counts them and moves them to the state that follows
-- grain:   the campaigns named; p_large: a single one, in one pass over its rows, otherwise all by message. How many counted differently
-- reads:   headrace.campaign, stg_campaigns, stg_send_queue, headrace.message_outcome, source_row_counts
-- writes:  headrace.campaign, and what the functions it calls write
-- locks:   the campaigns' own rows: the caller holds them; folds and recount_large lock those that messages moved from
CREATE OR REPLACE FUNCTION headrace.rebuild_unfrozen(p_campaigns uuid[], p_large boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_campaigns uuid[];
    v_states text[];  -- next states; deleted: the source has no such campaign
    v_statuses text[];
    v_freeze uuid[];
    v_rows jsonb[];  -- row counts from before the count that is frozen
    v_straight uuid[];  -- those of v_freeze that are counted without outcomes
    v_stored uuid[];  -- the others
    v_messages text[];
    v_wrong bigint := 0;
    v_changed bigint := 0;
BEGIN
    PERFORM headrace.settle_campaigns(p_campaigns, false);
    -- Before the source rows are read: a campaign that appears or disappears later brings its own change, which requests a rebuild.
    SELECT array_agg(n.campaign_id), array_agg(n.state), array_agg(n.status)
    INTO v_campaigns, v_states, v_statuses
    FROM (
        SELECT
            k.campaign_id, s.status,
            headrace.lifecycle_state(k.state, s.status, k.frozen_status, k.settles_until, clock_timestamp()) AS state
        FROM unnest(p_campaigns) u (id) INNER JOIN headrace.campaign k ON k.campaign_id = u.id
        CROSS JOIN LATERAL (
            SELECT (SELECT coalesce(c.status, '') FROM headrace.stg_campaigns() c WHERE c.campaign_id = k.campaign_id) AS status
        ) s
    ) n;
    SELECT array_agg(u.id), array_agg(headrace.source_row_counts(u.id)) INTO v_freeze, v_rows
    FROM unnest(v_campaigns, v_states) u (id, state) WHERE u.state = 'frozen';
    PERFORM headrace.enter_state(v_campaigns, array_replace(v_states, 'frozen', 'settling'));
    UPDATE headrace.campaign c SET
        rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(), rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
    FROM unnest(v_campaigns) u (id)
    WHERE c.campaign_id = u.id;

    -- Freezing deletes the outcomes: if none are stored yet, none need to be.
    v_straight := ARRAY(
        SELECT u.id FROM unnest(v_freeze) u (id) WHERE NOT EXISTS (SELECT FROM headrace.message_outcome o WHERE o.campaign_id = u.id));
    v_stored := ARRAY(SELECT unnest(v_campaigns) EXCEPT SELECT unnest(v_straight));
    IF v_straight <> '{}' THEN
        v_changed := headrace.count_straight(v_straight, p_large);
    END IF;
    IF v_stored <> '{}' THEN
        IF p_large THEN
            v_changed := headrace.recount_large(v_stored[1]);
        ELSE
            v_messages := ARRAY(
                SELECT q.id::text COLLATE "C" FROM headrace.stg_send_queue() q WHERE q.campaign_id = ANY (v_stored)
                UNION
                SELECT o.message_id FROM headrace.message_outcome o WHERE o.campaign_id = ANY (v_stored)
                ORDER BY 1);
            v_changed := v_changed + coalesce(headrace.fold_messages(v_messages, v_stored, '{}', v_stored), 0);
        END IF;
        -- A rebuild trusts no counter: all are set from the outcomes. Wrong counters are reported if no message was wrong.
        v_wrong := headrace.store_counts(v_stored, false);
    END IF;

    PERFORM headrace.refresh_documents(ARRAY(SELECT u.id FROM unnest(v_campaigns, v_states) u (id, state) WHERE u.state <> 'deleted'));
    FOR i IN 1 .. coalesce(cardinality(v_freeze), 0) LOOP
        IF NOT headrace.freeze_campaign(v_freeze[i], v_statuses[array_position(v_campaigns, v_freeze[i])]) AND v_freeze[i] = ANY (v_straight) THEN
            RAISE EXCEPTION 'campaign % was deleted while it was being counted; trying again', v_freeze[i] USING ERRCODE = 'serialization_failure';
        END IF;
        PERFORM headrace.check_frozen_rows(v_freeze[i], v_rows[i]);
    END LOOP;
    RETURN CASE WHEN v_changed > 0 THEN v_changed ELSE v_wrong END;
END
$$;
