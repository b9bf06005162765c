-- purpose: sets a campaign's counters, series and latencies to what its messages count as, whatever they were before
-- grain:   one campaign; how many counters, hours and latencies were wrong. From its stored outcomes, or from the source (p_live)
-- reads:   headrace.message_outcome, or message_outcome_live
-- writes:  campaign_template_stats, campaign_hour (what was packed is unpacked), campaign_latency
-- locks:   the rows it writes; the caller holds the campaign
CREATE OR REPLACE FUNCTION headrace.store_counts(p_campaign_id uuid, p_live boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_wrong bigint;
BEGIN
    PERFORM headrace.unpack_hours(p_campaign_id) WHERE p_live;
    -- One statement, so that counters, series and latencies are of one moment.
    WITH outcome AS MATERIALIZED (
        SELECT o.template_name, o.bits::integer AS bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at
        FROM headrace.message_outcome o WHERE o.campaign_id = p_campaign_id AND NOT p_live
        UNION ALL
        SELECT o.template_name, o.bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at
        FROM headrace.message_outcome_live() o WHERE o.campaign_id = p_campaign_id AND p_live
    ), counted AS (
        SELECT
            b.template_name, sum(b.n) AS total,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 1 > 0), 0) AS sent, coalesce(sum(b.n) FILTER (WHERE b.bits & 2 > 0), 0) AS delivered,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 4 > 0), 0) AS read, coalesce(sum(b.n) FILTER (WHERE b.bits & 32 > 0), 0) AS replied,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 8 > 0), 0) AS failed, coalesce(sum(b.n) FILTER (WHERE b.bits & 16 > 0), 0) AS failed_queue
        FROM (SELECT o.template_name, o.bits, count(*) AS n FROM outcome o GROUP BY 1, 2) b GROUP BY b.template_name
    ), gone AS (
        DELETE FROM headrace.campaign_template_stats s
        WHERE s.campaign_id = p_campaign_id
            AND NOT EXISTS (SELECT FROM counted k WHERE k.template_name IS NOT DISTINCT FROM s.template_name)
        RETURNING 1
    ), healed AS (
        UPDATE headrace.campaign_template_stats s SET
            total = k.total, sent = k.sent, delivered = k.delivered, read = k.read, replied = k.replied,
            failed = k.failed, failed_queue = k.failed_queue, updated_at = clock_timestamp()
        FROM counted k
        WHERE s.campaign_id = p_campaign_id AND s.template_name IS NOT DISTINCT FROM k.template_name
            AND (s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)
            IS DISTINCT FROM (k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue)
        RETURNING 1
    ), made AS (
        INSERT INTO headrace.campaign_template_stats
            (campaign_id, template_name, total, sent, delivered, read, replied, failed, failed_queue)
        SELECT p_campaign_id, k.template_name, k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue FROM counted k
        WHERE NOT EXISTS (
            SELECT FROM headrace.campaign_template_stats s
            WHERE s.campaign_id = p_campaign_id AND s.template_name IS NOT DISTINCT FROM k.template_name)
        RETURNING 1
    ), together AS (
        -- few, so that what follows is cheap: most messages share their hours with many others
        SELECT
            date_bin('1 hour', o.sent_at, '2000-01-01 00:00+00') AS sent, date_bin('1 hour', o.delivered_at, '2000-01-01 00:00+00') AS delivered,
            date_bin('1 hour', o.read_at, '2000-01-01 00:00+00') AS read, date_bin('1 hour', o.replied_at, '2000-01-01 00:00+00') AS replied,
            count(*) AS n
        FROM outcome o GROUP BY 1, 2, 3, 4
    ), hours AS (
        SELECT
            v.hour, sum(t.n) FILTER (WHERE v.kind = 's') AS sent, sum(t.n) FILTER (WHERE v.kind = 'd') AS delivered,
            sum(t.n) FILTER (WHERE v.kind = 'r') AS read, sum(t.n) FILTER (WHERE v.kind = 'a') AS replied
        FROM together t
        CROSS JOIN LATERAL (VALUES ('s', t.sent), ('d', t.delivered), ('r', t.read), ('a', t.replied)) v (kind, hour)
        WHERE isfinite(v.hour) GROUP BY v.hour
    ), hours_gone AS (
        DELETE FROM headrace.campaign_hour h
        WHERE h.campaign_id = p_campaign_id AND NOT EXISTS (SELECT FROM hours k WHERE k.hour = h.hour)
        RETURNING 1
    ), hours_set AS (
        INSERT INTO headrace.campaign_hour AS h (campaign_id, hour, sent, delivered, read, replied)
        SELECT p_campaign_id, k.hour, coalesce(k.sent, 0), coalesce(k.delivered, 0), coalesce(k.read, 0), coalesce(k.replied, 0) FROM hours k
        ON CONFLICT (campaign_id, hour) DO UPDATE SET
            sent = excluded.sent, delivered = excluded.delivered, read = excluded.read, replied = excluded.replied
        WHERE (h.sent, h.delivered, h.read, h.replied) <> (excluded.sent, excluded.delivered, excluded.read, excluded.replied)
        RETURNING 1
    ), latencies AS (
        SELECT
            u.kind, headrace.latency_block(u.seconds) AS block, sum(u.n) AS messages,
            array_agg(u.seconds ORDER BY u.seconds) AS seconds, array_agg(u.n ORDER BY u.seconds) AS counts
        FROM (
            SELECT 'd'::"char" AS kind, headrace.latency_seconds(o.sent_at, o.delivered_at) AS seconds, count(*)::integer AS n
            FROM outcome o WHERE o.delivered_at IS NOT NULL GROUP BY 2
            UNION ALL
            SELECT 'r', headrace.latency_seconds(o.sent_at, o.read_at), count(*)::integer
            FROM outcome o WHERE o.read_at IS NOT NULL GROUP BY 2
        ) u
        WHERE u.seconds IS NOT NULL
        GROUP BY 1, 2
    ), latencies_gone AS (
        DELETE FROM headrace.campaign_latency l
        WHERE l.campaign_id = p_campaign_id AND NOT EXISTS (SELECT FROM latencies k WHERE k.kind = l.kind AND k.block = l.block)
        RETURNING l.messages
    ), latencies_set AS (
        INSERT INTO headrace.campaign_latency AS l (campaign_id, kind, block, messages, seconds, counts)
        SELECT p_campaign_id, k.kind, k.block, k.messages, k.seconds, k.counts FROM latencies k
        ON CONFLICT (campaign_id, kind, block) DO UPDATE SET
            messages = excluded.messages, seconds = excluded.seconds, counts = excluded.counts
        WHERE (l.messages, l.seconds, l.counts) <> (excluded.messages, excluded.seconds, excluded.counts)
        RETURNING 1
    )
    SELECT
        (SELECT count(*) FROM gone) + (SELECT count(*) FROM healed) + (SELECT count(*) FROM made)
        + (SELECT count(*) FROM hours_gone) + (SELECT count(*) FROM hours_set)
        -- A frozen campaign had none.
        + CASE WHEN p_live THEN 0 ELSE (SELECT count(*) FROM latencies_gone WHERE messages > 0) + (SELECT count(*) FROM latencies_set) END
    INTO v_wrong;
    RETURN v_wrong;
END
$$;
