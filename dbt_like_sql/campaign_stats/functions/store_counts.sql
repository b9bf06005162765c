-- purpose: sets campaigns' counters, series and latencies to what their messages count as, whatever they were before
-- grain:   the campaigns named; how many counters, hours and latencies were wrong
-- reads:   headrace.message_outcome, or with p_live message_outcome_live for a single campaign; what whole_template_name reads
-- writes:  campaign_template_stats, campaign_hour, campaign_latency; p_live: also what unpack_hours writes
-- locks:   the rows it writes; the caller holds the campaigns
--
-- p_outcomes: what the messages count as if that is not stored (count_messages).
CREATE OR REPLACE FUNCTION headrace.store_counts(
    p_campaigns uuid[], p_live boolean, p_outcomes headrace.outcome_change[] DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_live constant uuid := CASE WHEN p_live THEN p_campaigns[1] END;
    v_wrong bigint;
BEGIN
    IF p_live THEN
        PERFORM headrace.unpack_hours(v_live);
    END IF;
    -- One statement, so that counters, series and latencies belong to one snapshot.
    WITH outcome AS MATERIALIZED (
        SELECT
            o.campaign_id, o.template_name, CASE WHEN octet_length(o.template_name) > 1000 THEN o.message_id END AS message_id,
            o.bits::integer AS bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at
        FROM headrace.message_outcome o WHERE o.campaign_id = ANY (p_campaigns) AND NOT p_live AND p_outcomes IS NULL
        UNION ALL
        SELECT
            o.campaign_id, headrace.template_key(o.template_name), CASE WHEN octet_length(o.template_name) > 1000 THEN o.id::text END,
            o.bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at
        FROM headrace.message_outcome_live() o WHERE o.campaign_id = v_live AND p_live
        UNION ALL
        SELECT
            o.new_campaign, o.new_template, CASE WHEN octet_length(o.new_template) > 1000 THEN o.message_id END,
            o.new_bits::integer, o.new_sent_at, o.new_delivered_at, o.new_read_at, o.new_replied_at
        FROM unnest(p_outcomes) o
    ), counted AS (
        SELECT
            b.campaign_id, b.template_name, headrace.template_md5(b.template_name) AS template_md5, min(b.message_id) AS message_id, sum(b.n) AS total,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 1 > 0), 0) AS sent, coalesce(sum(b.n) FILTER (WHERE b.bits & 2 > 0), 0) AS delivered,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 4 > 0), 0) AS read, coalesce(sum(b.n) FILTER (WHERE b.bits & 32 > 0), 0) AS replied,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 8 > 0), 0) AS failed, coalesce(sum(b.n) FILTER (WHERE b.bits & 16 > 0), 0) AS failed_queue
        FROM (
            SELECT o.campaign_id, o.template_name, o.bits, count(*) AS n, min(o.message_id) AS message_id FROM outcome o GROUP BY 1, 2, 3
        ) b
        GROUP BY b.campaign_id, b.template_name
    ), gone AS (
        DELETE FROM headrace.campaign_template_stats s
        WHERE s.campaign_id = ANY (p_campaigns)
            AND NOT EXISTS (SELECT FROM counted k WHERE k.campaign_id = s.campaign_id AND k.template_md5 = s.template_md5)
        RETURNING 1
    ), healed AS (
        UPDATE headrace.campaign_template_stats s SET
            total = k.total, sent = k.sent, delivered = k.delivered, read = k.read, replied = k.replied,
            failed = k.failed, failed_queue = k.failed_queue, updated_at = clock_timestamp()
        FROM counted k
        WHERE s.campaign_id = k.campaign_id AND s.template_md5 = k.template_md5
            AND (s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)
            IS DISTINCT FROM (k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue)
        RETURNING 1
    ), made AS (
        INSERT INTO headrace.campaign_template_stats
            (campaign_id, template_md5, template_name, total, sent, delivered, read, replied, failed, failed_queue)
        SELECT
            k.campaign_id, k.template_md5,
            CASE WHEN k.message_id IS NULL THEN k.template_name ELSE headrace.whole_template_name(k.template_name, k.message_id) END,
            k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue
        FROM counted k
        WHERE NOT EXISTS (
            SELECT FROM headrace.campaign_template_stats s WHERE s.campaign_id = k.campaign_id AND s.template_md5 = k.template_md5)
        RETURNING 1
    ), together AS (
        -- few rows, so that the rest is cheap: most messages share their hours with many others
        SELECT
            o.campaign_id,
            date_bin('1 hour', o.sent_at, '2000-01-01 00:00+00') AS sent, date_bin('1 hour', o.delivered_at, '2000-01-01 00:00+00') AS delivered,
            date_bin('1 hour', o.read_at, '2000-01-01 00:00+00') AS read, date_bin('1 hour', o.replied_at, '2000-01-01 00:00+00') AS replied,
            count(*) AS n
        FROM outcome o GROUP BY 1, 2, 3, 4, 5
    ), hours AS (
        SELECT
            t.campaign_id, v.hour, sum(t.n) FILTER (WHERE v.kind = 's') AS sent, sum(t.n) FILTER (WHERE v.kind = 'd') AS delivered,
            sum(t.n) FILTER (WHERE v.kind = 'r') AS read, sum(t.n) FILTER (WHERE v.kind = 'a') AS replied
        FROM together t
        CROSS JOIN LATERAL (VALUES ('s', t.sent), ('d', t.delivered), ('r', t.read), ('a', t.replied)) v (kind, hour)
        WHERE isfinite(v.hour) GROUP BY t.campaign_id, v.hour
    ), hours_gone AS (
        DELETE FROM headrace.campaign_hour h
        WHERE h.campaign_id = ANY (p_campaigns) AND NOT EXISTS (SELECT FROM hours k WHERE k.campaign_id = h.campaign_id AND k.hour = h.hour)
        RETURNING 1
    ), hours_set AS (
        INSERT INTO headrace.campaign_hour AS h (campaign_id, hour, sent, delivered, read, replied)
        SELECT k.campaign_id, k.hour, coalesce(k.sent, 0), coalesce(k.delivered, 0), coalesce(k.read, 0), coalesce(k.replied, 0) FROM hours k
        ON CONFLICT (campaign_id, hour) DO UPDATE SET
            sent = excluded.sent, delivered = excluded.delivered, read = excluded.read, replied = excluded.replied
        WHERE (h.sent, h.delivered, h.read, h.replied) <> (excluded.sent, excluded.delivered, excluded.read, excluded.replied)
        RETURNING 1
    ), latencies AS (
        SELECT
            u.campaign_id, u.kind, headrace.latency_block(u.seconds) AS block, sum(u.n) AS messages,
            array_agg(u.seconds ORDER BY u.seconds) AS seconds, array_agg(u.n ORDER BY u.seconds) AS counts
        FROM (
            SELECT o.campaign_id, 'd'::"char" AS kind, headrace.latency_seconds(o.sent_at, o.delivered_at) AS seconds, count(*)::integer AS n
            FROM outcome o WHERE o.delivered_at IS NOT NULL GROUP BY 1, 3
            UNION ALL
            SELECT o.campaign_id, 'r', headrace.latency_seconds(o.sent_at, o.read_at), count(*)::integer
            FROM outcome o WHERE o.read_at IS NOT NULL GROUP BY 1, 3
        ) u
        WHERE u.seconds IS NOT NULL
        GROUP BY 1, 2, 3
    ), latencies_gone AS (
        DELETE FROM headrace.campaign_latency l
        WHERE l.campaign_id = ANY (p_campaigns)
            AND NOT EXISTS (SELECT FROM latencies k WHERE k.campaign_id = l.campaign_id AND k.kind = l.kind AND k.block = l.block)
        RETURNING l.messages
    ), latencies_set AS (
        INSERT INTO headrace.campaign_latency AS l (campaign_id, kind, block, messages, seconds, counts)
        SELECT k.campaign_id, k.kind, k.block, k.messages, k.seconds, k.counts FROM latencies k
        ON CONFLICT (campaign_id, kind, block) DO UPDATE SET
            messages = excluded.messages, seconds = excluded.seconds, counts = excluded.counts
        WHERE (l.messages, l.seconds, l.counts) <> (excluded.messages, excluded.seconds, excluded.counts)
        RETURNING 1
    )
    SELECT
        (SELECT count(*) FROM gone) + (SELECT count(*) FROM healed) + (SELECT count(*) FROM made)
        + (SELECT count(*) FROM hours_gone) + (SELECT count(*) FROM hours_set)
        -- A frozen campaign has no latencies to compare with.
        + CASE WHEN p_live THEN 0 ELSE (SELECT count(*) FROM latencies_gone WHERE messages > 0) + (SELECT count(*) FROM latencies_set) END
    INTO v_wrong;
    RETURN v_wrong;
END
$$;
