-- purpose: the part of rebuild_campaign_stats for campaigns that are not frozen: counted anew, with the state that follows
-- grain:   the campaigns named; p_large: one, in a pass over its rows, else all together by message. How many counted differently
-- reads:   stg_campaigns, stg_send_queue, headrace.message_outcome, source_row_counts
-- writes:  headrace.campaign, and what recount_large, fold_messages, store_counts, refresh_documents and freeze_campaign write
-- locks:   the campaigns' own rows: the caller holds them; folds lock those that messages moved from
CREATE OR REPLACE FUNCTION headrace.rebuild_unfrozen(p_campaigns uuid[], p_large boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_campaigns uuid[];
    v_states text[];  -- that follow; deleted: the source has no such campaign
    v_statuses text[];
    v_freeze uuid[];
    v_rows jsonb[];  -- that there were before the count that is frozen
    v_messages text[];
    v_wrong bigint;
    v_changed bigint;
BEGIN
    PERFORM headrace.settle_campaigns(p_campaigns, false);
    -- Before the truth is read: what appears or goes after this has a change of its own, which asks for a rebuild.
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
    UPDATE headrace.campaign c SET
        state = CASE u.state WHEN 'frozen' THEN 'settling' ELSE u.state END, rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(),
        rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
    FROM unnest(v_campaigns, v_states) u (id, state)
    WHERE c.campaign_id = u.id;

    IF p_large THEN
        v_changed := headrace.recount_large(v_campaigns[1]);
    ELSE
        v_messages := ARRAY(
            SELECT q.id::text COLLATE "C" FROM headrace.stg_send_queue() q WHERE q.campaign_id = ANY (v_campaigns)
            UNION
            SELECT o.message_id FROM headrace.message_outcome o WHERE o.campaign_id = ANY (v_campaigns)
            ORDER BY 1);
        v_changed := coalesce(headrace.fold_messages(v_messages, v_campaigns, '{}', v_campaigns), 0);
    END IF;
    -- A rebuild trusts no counter: all are set to what the outcomes add up to. Wrong ones are told where no message was.
    v_wrong := headrace.store_counts(v_campaigns, false);

    UPDATE headrace.campaign c SET last_version = greatest(c.last_version, d.version)
    FROM headrace.campaign_computed_stats d
    WHERE c.campaign_id = ANY (v_campaigns) AND c.state = 'deleted' AND d.campaign_id = c.campaign_id;
    DELETE FROM headrace.campaign_computed_stats d USING headrace.campaign c
    WHERE c.campaign_id = ANY (v_campaigns) AND c.state = 'deleted' AND d.campaign_id = c.campaign_id;
    PERFORM headrace.refresh_documents(ARRAY(SELECT u.id FROM unnest(v_campaigns, v_states) u (id, state) WHERE u.state <> 'deleted'));
    -- One that was pending may have its document from an earlier life.
    UPDATE headrace.campaign_computed_stats d SET state = c.state
    FROM headrace.campaign c
    WHERE c.campaign_id = ANY (v_campaigns) AND d.campaign_id = c.campaign_id AND d.state <> c.state;
    FOR i IN 1 .. coalesce(cardinality(v_freeze), 0) LOOP
        PERFORM headrace.freeze_campaign(v_freeze[i], v_statuses[array_position(v_campaigns, v_freeze[i])]);
        PERFORM headrace.check_frozen_rows(v_freeze[i], v_rows[i]);
    END LOOP;
    RETURN CASE WHEN v_changed > 0 THEN v_changed ELSE v_wrong END;
END
$$;
