-- purpose: stores what messages count as now and adds the differences to the counters and documents of their campaigns
-- grain:   one call per fold or rebuild; the number of messages changed. The caller holds all campaigns that occur
-- reads:   stg_campaigns
-- writes:  message_outcome, campaign_template_stats, campaign_computed_stats, activity, and what apply_times writes
-- locks:   the rows it writes; campaigns are locked already, so counters are uncontended
--
-- p_recounted: a campaign whose counters, series and latencies the caller sets as a whole; only those of others get differences.
CREATE OR REPLACE FUNCTION headrace.apply_outcomes(p_changes headrace.outcome_change[], p_recounted uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_expected bigint;
    v_inserted bigint;
    v_campaigns uuid[];
    v_added headrace.outcome_change[] := p_changes;  -- what counters get
BEGIN
    IF coalesce(cardinality(p_changes), 0) = 0 THEN
        RETURN 0;
    END IF;

    INSERT INTO headrace.message_outcome (message_id, campaign_id, template_name, bits, sent_at, delivered_at, read_at, replied_at)
    SELECT
        d.message_id, d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
    FROM unnest(p_changes) d
    WHERE d.old_campaign IS NULL AND d.new_campaign IS NOT NULL
    ON CONFLICT (message_id) DO NOTHING;
    GET DIAGNOSTICS v_inserted = ROW_COUNT;
    SELECT count(*) INTO v_expected FROM unnest(p_changes) d WHERE d.old_campaign IS NULL AND d.new_campaign IS NOT NULL;
    IF v_inserted <> v_expected AND v_expected <> (
        SELECT count(DISTINCT d.message_id) FROM unnest(p_changes) d WHERE d.old_campaign IS NULL AND d.new_campaign IS NOT NULL)
    THEN
        RAISE EXCEPTION 'send_queue holds rows with the same id' USING ERRCODE = 'unique_violation';
    ELSIF v_inserted <> v_expected THEN
        RAISE EXCEPTION 'messages were counted elsewhere at the same time; trying again' USING ERRCODE = 'serialization_failure';
    END IF;
    UPDATE headrace.message_outcome o SET
        campaign_id = d.new_campaign, template_name = d.new_template, bits = d.new_bits,
        sent_at = d.new_sent_at, delivered_at = d.new_delivered_at, read_at = d.new_read_at, replied_at = d.new_replied_at
    FROM unnest(p_changes) d
    WHERE o.message_id = d.message_id AND d.old_campaign IS NOT NULL AND d.new_campaign IS NOT NULL;
    DELETE FROM headrace.message_outcome o USING unnest(p_changes) d
    WHERE o.message_id = d.message_id AND d.old_campaign IS NOT NULL AND d.new_campaign IS NULL;

    IF p_recounted IS NOT NULL THEN
        v_added := ARRAY(
            SELECT ROW(
                d.message_id,
                nullif(d.old_campaign, p_recounted), d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at,
                nullif(d.new_campaign, p_recounted), d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
            )::headrace.outcome_change
            FROM unnest(p_changes) d WHERE d.old_campaign <> p_recounted OR d.new_campaign <> p_recounted);
    END IF;
    WITH delta AS (
        SELECT
            x.campaign_id, x.template_name,
            sum(x.sign) AS total,
            sum(x.sign) FILTER (WHERE x.bits & 1 > 0) AS sent,
            sum(x.sign) FILTER (WHERE x.bits & 2 > 0) AS delivered,
            sum(x.sign) FILTER (WHERE x.bits & 4 > 0) AS read,
            sum(x.sign) FILTER (WHERE x.bits & 32 > 0) AS replied,
            sum(x.sign) FILTER (WHERE x.bits & 8 > 0) AS failed,
            sum(x.sign) FILTER (WHERE x.bits & 16 > 0) AS failed_queue
        FROM unnest(v_added) d
        CROSS JOIN LATERAL (VALUES
            (d.new_campaign, d.new_template, d.new_bits, 1), (d.old_campaign, d.old_template, d.old_bits, -1)
        ) x (campaign_id, template_name, bits, sign)
        WHERE x.campaign_id IS NOT NULL
            AND (d.old_campaign, d.old_template, d.old_bits) IS DISTINCT FROM (d.new_campaign, d.new_template, d.new_bits)
        GROUP BY x.campaign_id, x.template_name
    ), added AS (
        UPDATE headrace.campaign_template_stats s SET
            total = s.total + d.total, sent = s.sent + coalesce(d.sent, 0), delivered = s.delivered + coalesce(d.delivered, 0),
            read = s.read + coalesce(d.read, 0), replied = s.replied + coalesce(d.replied, 0),
            failed = s.failed + coalesce(d.failed, 0), failed_queue = s.failed_queue + coalesce(d.failed_queue, 0),
            updated_at = clock_timestamp()
        FROM delta d
        WHERE s.campaign_id = d.campaign_id AND s.template_name IS NOT DISTINCT FROM d.template_name
        RETURNING s.campaign_id
    ), made AS (
        INSERT INTO headrace.campaign_template_stats
            (campaign_id, template_name, total, sent, delivered, read, replied, failed, failed_queue)
        SELECT
            d.campaign_id, d.template_name, d.total, coalesce(d.sent, 0), coalesce(d.delivered, 0), coalesce(d.read, 0),
            coalesce(d.replied, 0), coalesce(d.failed, 0), coalesce(d.failed_queue, 0)
        FROM delta d
        WHERE NOT EXISTS (
            SELECT FROM headrace.campaign_template_stats s
            WHERE s.campaign_id = d.campaign_id AND s.template_name IS NOT DISTINCT FROM d.template_name)
        RETURNING campaign_id
    )
    SELECT array_agg(DISTINCT u.campaign_id) INTO v_campaigns
    FROM (SELECT campaign_id FROM added UNION ALL SELECT campaign_id FROM made) u;
    v_campaigns := v_campaigns || headrace.apply_times(v_added);
    DELETE FROM headrace.campaign_template_stats s WHERE s.campaign_id = ANY (v_campaigns) AND s.total = 0;

    PERFORM headrace.refresh_documents(v_campaigns);
    PERFORM headrace.record_activity(
        ARRAY['campaign_template_stats', 'campaign_computed_stats'], array_agg(a.day), array_agg(a.n))
    FROM (
        SELECT (c.created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n
        FROM unnest(p_changes) d INNER JOIN headrace.stg_campaigns() c ON c.campaign_id = coalesce(d.new_campaign, d.old_campaign)
        -- days that are partitions can be, and that clients can read
        WHERE c.created_at >= '0001-01-02 UTC' AND c.created_at < '9999-12-31 UTC'
        GROUP BY 1
    ) a;
    RETURN cardinality(p_changes);
END
$$;
