-- purpose: stores what messages count as now, and adds the differences to their campaigns' counters and documents
-- grain:   one call per fold; the number of messages changed. The caller holds all campaigns involved
-- reads:   stg_campaigns, campaign_computed_stats, and what whole_template_name reads
-- writes:  message_outcome, campaign_template_stats, campaign_computed_stats, activity, what apply_times writes, campaign.document_due_at
-- locks:   the rows it writes; the campaigns are locked already, so nobody competes for their counters
--
-- p_recounted: campaigns whose counters, series, latencies and documents the caller sets as a whole; only other campaigns get
-- differences. Templates are joined by their md5: it is never null and indexed, and a batch may have thousands of templates.
-- A document with very many templates is put off, so that writing it takes only a tenth of the time; rebuild_items writes it when due.
CREATE OR REPLACE FUNCTION headrace.apply_outcomes(p_changes headrace.outcome_change[], p_recounted uuid[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_expected bigint;
    v_inserted bigint;
    v_campaigns uuid[];
    v_emptied uuid[];
    v_emptied_md5 uuid[];
    v_large uuid[];
    v_added headrace.outcome_change[] := p_changes;  -- changes that are added to counters
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
                CASE WHEN d.old_campaign <> ALL (p_recounted) THEN d.old_campaign END,
                d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at,
                CASE WHEN d.new_campaign <> ALL (p_recounted) THEN d.new_campaign END,
                d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
            )::headrace.outcome_change
            FROM unnest(p_changes) d WHERE d.old_campaign <> ALL (p_recounted) OR d.new_campaign <> ALL (p_recounted));
    END IF;
    IF cardinality(v_added) > 0 THEN
        WITH delta AS MATERIALIZED (
            SELECT
                x.campaign_id, x.template_name, headrace.template_md5(x.template_name) AS template_md5,
                min(d.message_id) FILTER (WHERE x.sign = 1 AND octet_length(x.template_name) > 1000) AS message_id,
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
            WHERE s.campaign_id = d.campaign_id AND s.template_md5 = d.template_md5
            RETURNING s.campaign_id, s.template_md5, s.total
        ), made AS (
            INSERT INTO headrace.campaign_template_stats
                (campaign_id, template_md5, template_name, total, sent, delivered, read, replied, failed, failed_queue)
            SELECT
                d.campaign_id, d.template_md5,
                CASE WHEN d.message_id IS NULL THEN d.template_name ELSE headrace.whole_template_name(d.template_name, d.message_id) END,
                d.total, coalesce(d.sent, 0), coalesce(d.delivered, 0), coalesce(d.read, 0),
                coalesce(d.replied, 0), coalesce(d.failed, 0), coalesce(d.failed_queue, 0)
            FROM delta d
            WHERE NOT EXISTS (
                SELECT FROM headrace.campaign_template_stats s
                WHERE s.campaign_id = d.campaign_id AND s.template_md5 = d.template_md5)
            RETURNING campaign_id, template_md5, total
        )
        SELECT
            array_agg(DISTINCT u.campaign_id), array_agg(u.campaign_id) FILTER (WHERE u.total = 0),
            array_agg(u.template_md5) FILTER (WHERE u.total = 0)
        INTO v_campaigns, v_emptied, v_emptied_md5
        FROM (SELECT a.* FROM added a UNION ALL SELECT m.* FROM made m) u;
        v_campaigns := v_campaigns || headrace.apply_times(v_added);
        IF v_emptied IS NOT NULL THEN
            DELETE FROM headrace.campaign_template_stats s USING unnest(v_emptied, v_emptied_md5) e (campaign_id, template_md5)
            WHERE s.campaign_id = e.campaign_id AND s.template_md5 = e.template_md5 AND s.total = 0;
        END IF;
        SELECT array_agg(d.campaign_id) INTO v_large
        FROM headrace.campaign_computed_stats d WHERE d.campaign_id = ANY (v_campaigns) AND d.totals ? 'templates';
        IF v_large IS NOT NULL THEN
            UPDATE headrace.campaign c SET
                document_due_at = clock_timestamp() + least(interval '10 microseconds' * (d.totals ->> 'templates')::bigint, interval '1 minute')
            FROM headrace.campaign_computed_stats d
            WHERE d.campaign_id = ANY (v_large) AND c.campaign_id = d.campaign_id AND c.document_due_at IS NULL;
            v_campaigns := ARRAY(SELECT unnest(v_campaigns) EXCEPT SELECT unnest(v_large));
        END IF;
        PERFORM headrace.refresh_documents(v_campaigns);
    END IF;

    PERFORM headrace.record_activity(
        ARRAY['campaign_template_stats', 'campaign_computed_stats'], array_agg(a.day), array_agg(a.n))
    FROM (
        SELECT (c.created_at AT TIME ZONE 'UTC')::date AS day, sum(d.n)::bigint AS n
        FROM (SELECT coalesce(u.new_campaign, u.old_campaign) AS campaign_id, count(*) AS n FROM unnest(p_changes) u GROUP BY 1) d
        INNER JOIN headrace.stg_campaigns() c ON c.campaign_id = d.campaign_id
        -- days that can be partitions and that clients can read
        WHERE c.created_at >= '0001-01-02 UTC' AND c.created_at < '9999-12-31 UTC'
        GROUP BY 1
    ) a;
    RETURN cardinality(p_changes);
END
$$;
