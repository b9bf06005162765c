-- purpose: recomputes campaigns from their source rows and stores the result: outcomes, counters, documents
-- grain:   the campaigns named; how many messages counted differently. One that the source no longer has is removed
-- reads:   message_outcome_live, stg_send_queue, stg_campaigns, headrace.message_outcome
-- writes:  headrace.campaign, and what apply_outcomes writes
-- locks:   the campaigns' own rows, in id order, before the truth is read (the protocol of fold_messages)
CREATE OR REPLACE FUNCTION headrace.rebuild_campaign_stats(p_campaigns uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_locked uuid[];
    v_campaign uuid;
    v_exists boolean;
    v_changes headrace.outcome_change[];
    v_changed bigint := 0;
    v_healed bigint;
BEGIN
    -- Messages of these campaigns may still count for another one: their fold is to come. That one is held too.
    v_locked := ARRAY(
        SELECT id FROM unnest(p_campaigns) id WHERE id IS NOT NULL
        UNION
        SELECT o.campaign_id FROM headrace.stg_send_queue q
        INNER JOIN headrace.message_outcome o ON o.message_id = q.id::text
        WHERE q.campaign_id = ANY (p_campaigns) AND o.campaign_id <> q.campaign_id
    );
    PERFORM headrace.lock_campaigns(v_locked);

    FOR v_campaign IN SELECT DISTINCT id FROM unnest(p_campaigns) id WHERE id IS NOT NULL ORDER BY id LOOP
        -- Before the truth is read: what appears or goes after this has a change of its own, which asks for a rebuild.
        v_exists := EXISTS (SELECT FROM headrace.stg_campaigns c WHERE c.campaign_id = v_campaign);
        -- OFFSET 0: both sides are campaign-sized sets, to be hashed once each.
        SELECT array_agg(ROW(
                coalesce(o.message_id, t.message_id), o.campaign_id, o.template_name, o.bits,
                t.campaign_id, t.template_name, t.bits)::headrace.outcome_change)
        INTO v_changes
        FROM (
            SELECT v.id::text AS message_id, v.campaign_id, v.template_name, v.bits::smallint AS bits
            FROM headrace.message_outcome_live v WHERE v.campaign_id = v_campaign OFFSET 0
        ) t
        FULL JOIN (
            SELECT s.* FROM headrace.message_outcome s WHERE s.campaign_id = v_campaign
            UNION ALL
            SELECT s.* FROM headrace.stg_send_queue q INNER JOIN headrace.message_outcome s ON s.message_id = q.id::text
            WHERE q.campaign_id = v_campaign AND s.campaign_id <> v_campaign
            OFFSET 0
        ) o ON o.message_id = t.message_id
        WHERE (o.campaign_id, o.template_name, o.bits) IS DISTINCT FROM (t.campaign_id, t.template_name, t.bits)
            -- without a campaign to count for, a message that counts elsewhere is left to its own fold
            AND (t.message_id IS NOT NULL OR o.campaign_id = v_campaign);
        IF EXISTS (SELECT FROM unnest(v_changes) d WHERE d.old_campaign <> ALL (v_locked)) THEN
            RAISE EXCEPTION 'messages moved between campaigns while they were being counted; trying again' USING ERRCODE = 'serialization_failure';
        END IF;
        v_changed := v_changed + headrace.apply_outcomes(v_changes);

        -- A rebuild trusts no counter: what the outcomes do not add up to is set right.
        WITH counted AS (
            SELECT
                o.template_name, count(*) AS total,
                count(*) FILTER (WHERE o.bits & 1 > 0) AS sent, count(*) FILTER (WHERE o.bits & 2 > 0) AS delivered,
                count(*) FILTER (WHERE o.bits & 4 > 0) AS read, count(*) FILTER (WHERE o.bits & 32 > 0) AS replied,
                count(*) FILTER (WHERE o.bits & 8 > 0) AS failed, count(*) FILTER (WHERE o.bits & 16 > 0) AS failed_queue
            FROM headrace.message_outcome o WHERE o.campaign_id = v_campaign GROUP BY o.template_name
        ), gone AS (
            DELETE FROM headrace.campaign_template_stats s
            WHERE s.campaign_id = v_campaign
                AND NOT EXISTS (SELECT FROM counted k WHERE k.template_name IS NOT DISTINCT FROM s.template_name)
            RETURNING 1
        ), healed AS (
            UPDATE headrace.campaign_template_stats s SET
                total = k.total, sent = k.sent, delivered = k.delivered, read = k.read, replied = k.replied,
                failed = k.failed, failed_queue = k.failed_queue, updated_at = clock_timestamp()
            FROM counted k
            WHERE s.campaign_id = v_campaign AND s.template_name IS NOT DISTINCT FROM k.template_name
                AND (s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)
                IS DISTINCT FROM (k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue)
            RETURNING 1
        ), made AS (
            INSERT INTO headrace.campaign_template_stats
                (campaign_id, template_name, total, sent, delivered, read, replied, failed, failed_queue)
            SELECT v_campaign, k.template_name, k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue FROM counted k
            WHERE NOT EXISTS (
                SELECT FROM headrace.campaign_template_stats s
                WHERE s.campaign_id = v_campaign AND s.template_name IS NOT DISTINCT FROM k.template_name)
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM healed) + (SELECT count(*) FROM made) INTO v_healed;
        v_changed := v_changed + v_healed;

        IF v_exists THEN
            PERFORM headrace.refresh_documents(ARRAY[v_campaign]);
        ELSE
            DELETE FROM headrace.campaign_computed_stats WHERE campaign_id = v_campaign;
        END IF;
        UPDATE headrace.campaign SET
            state = CASE WHEN v_exists THEN 'live' ELSE 'deleted' END, rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(),
            rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
        WHERE campaign_id = v_campaign;
    END LOOP;
    RETURN v_changed;
END
$$;
