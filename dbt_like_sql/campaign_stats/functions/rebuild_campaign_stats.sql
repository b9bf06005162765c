-- purpose: recomputes campaigns from their source rows and stores the result: outcomes, counters, documents
-- grain:   the campaigns named; how many messages counted differently
-- reads:   message_outcome_live, stg_send_queue, stg_campaigns, headrace.message_outcome, source_row_counts
-- writes:  headrace.campaign, and what apply_outcomes, store_counts, freeze_campaign and amend_campaign write
-- locks:   the campaigns' own rows, in id order, before the truth is read (the protocol of fold_messages)
--
-- A campaign that the source no longer has is removed, one that has settled is frozen, one that is frozen is amended.
CREATE OR REPLACE FUNCTION headrace.rebuild_campaign_stats(p_campaigns uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_locked uuid[];
    v_campaign uuid;
    v_status text;  -- null: the source has no such campaign
    k headrace.campaign;
    v_changes headrace.outcome_change[];
    v_rows jsonb;  -- that there were before the count that is frozen
    v_wrong bigint;
    v_changed bigint := 0;
BEGIN
    -- Messages of these campaigns may still count for another one: their fold is to come. That one is held too.
    v_locked := ARRAY(
        SELECT id FROM unnest(p_campaigns) id WHERE id IS NOT NULL
        UNION
        SELECT o.campaign_id FROM headrace.stg_send_queue() q
        INNER JOIN headrace.message_outcome o ON o.message_id = q.id::text
        WHERE q.campaign_id = ANY (p_campaigns) AND o.campaign_id <> q.campaign_id
    );
    PERFORM headrace.lock_campaigns(v_locked);

    FOR v_campaign IN SELECT DISTINCT id FROM unnest(p_campaigns) id WHERE id IS NOT NULL ORDER BY id LOOP
        -- Before the truth is read: what appears or goes after this has a change of its own, which asks for a rebuild.
        SELECT coalesce(c.status, '') INTO v_status FROM headrace.stg_campaigns() c WHERE c.campaign_id = v_campaign;
        PERFORM headrace.settle_campaigns(ARRAY[v_campaign], false);
        SELECT * INTO k FROM headrace.campaign c WHERE c.campaign_id = v_campaign;
        IF k.state IN ('frozen', 'amended') AND v_status IS NULL THEN
            UPDATE headrace.campaign_computed_stats d SET deleted_at = clock_timestamp()
            WHERE d.campaign_id = v_campaign AND d.deleted_at IS NULL;
            DELETE FROM headrace.campaign_stats_pending_amendment p WHERE p.campaign_id = v_campaign;
            UPDATE headrace.campaign c SET rebuild_requested_at = NULL, late_messages = NULL WHERE c.campaign_id = v_campaign;
            CONTINUE;
        ELSIF k.state IN ('frozen', 'amended') THEN
            UPDATE headrace.campaign_computed_stats d SET deleted_at = NULL
            WHERE d.campaign_id = v_campaign AND d.deleted_at IS NOT NULL;
            v_wrong := headrace.amend_campaign(v_campaign, v_status, false, false);
            CONTINUE WHEN v_wrong IS NULL;
            v_changed := v_changed + v_wrong;
            PERFORM headrace.settle_campaigns(ARRAY[v_campaign], false);
            SELECT * INTO k FROM headrace.campaign c WHERE c.campaign_id = v_campaign;
            IF k.state IN ('frozen', 'amended') THEN
                UPDATE headrace.campaign SET
                    rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(),
                    rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
                WHERE campaign_id = v_campaign;
                CONTINUE;
            END IF;
        END IF;
        v_rows := NULL;
        IF headrace.lifecycle_state(k.state, v_status, k.frozen_status, k.settles_until, clock_timestamp()) = 'frozen' THEN
            v_rows := headrace.source_row_counts(v_campaign);
        END IF;
        -- OFFSET 0: both sides are campaign-sized sets, to be hashed once each.
        SELECT array_agg(ROW(
                coalesce(o.message_id, t.message_id), o.campaign_id, o.template_name, o.bits,
                o.sent_at, o.delivered_at, o.read_at, o.replied_at,
                t.campaign_id, t.template_name, t.bits, t.sent_at, t.delivered_at, t.read_at, t.replied_at)::headrace.outcome_change)
        INTO v_changes
        FROM (
            SELECT
                v.id::text AS message_id, v.campaign_id, v.template_name, v.bits::smallint AS bits,
                v.sent_at, v.delivered_at, v.read_at, v.replied_at
            FROM headrace.message_outcome_live() v WHERE v.campaign_id = v_campaign OFFSET 0
        ) t
        FULL JOIN (
            SELECT s.* FROM headrace.message_outcome s WHERE s.campaign_id = v_campaign
            UNION ALL
            SELECT s.* FROM headrace.stg_send_queue() q INNER JOIN headrace.message_outcome s ON s.message_id = q.id::text
            WHERE q.campaign_id = v_campaign AND s.campaign_id <> v_campaign
            OFFSET 0
        ) o ON o.message_id = t.message_id
        WHERE (o.campaign_id, o.template_name, o.bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at)
            IS DISTINCT FROM (t.campaign_id, t.template_name, t.bits, t.sent_at, t.delivered_at, t.read_at, t.replied_at)
            -- without a campaign to count for, a message that counts elsewhere is left to its own fold
            AND (t.message_id IS NOT NULL OR o.campaign_id = v_campaign);
        IF EXISTS (SELECT FROM unnest(v_changes) d WHERE d.old_campaign <> ALL (v_locked)) THEN
            RAISE EXCEPTION 'messages moved between campaigns while they were being counted; trying again' USING ERRCODE = 'serialization_failure';
        END IF;
        v_changed := v_changed + headrace.apply_outcomes(v_changes, v_campaign);
        -- A rebuild trusts no counter: all are set to what the outcomes add up to. Wrong ones are told where no message was.
        v_wrong := headrace.store_counts(v_campaign, false);
        v_changed := v_changed + CASE WHEN v_changes IS NULL THEN v_wrong ELSE 0 END;

        k.state := headrace.lifecycle_state(k.state, v_status, k.frozen_status, k.settles_until, clock_timestamp());
        UPDATE headrace.campaign SET
            state = CASE k.state WHEN 'frozen' THEN 'settling' ELSE k.state END, rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(),
            rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
        WHERE campaign_id = v_campaign;
        IF k.state = 'deleted' THEN
            UPDATE headrace.campaign c SET last_version = greatest(c.last_version, d.version)
            FROM headrace.campaign_computed_stats d WHERE c.campaign_id = v_campaign AND d.campaign_id = v_campaign;
            DELETE FROM headrace.campaign_computed_stats WHERE campaign_id = v_campaign;
        ELSE
            PERFORM headrace.refresh_documents(ARRAY[v_campaign]);
            -- One that was pending may have its document from an earlier life.
            UPDATE headrace.campaign_computed_stats d SET state = k.state
            WHERE d.campaign_id = v_campaign AND k.state <> 'frozen' AND d.state <> k.state;
        END IF;
        IF k.state = 'frozen' THEN
            PERFORM headrace.freeze_campaign(v_campaign, v_status);
            PERFORM headrace.check_frozen_rows(v_campaign, v_rows);
        END IF;
    END LOOP;
    RETURN v_changed;
END
$$;
