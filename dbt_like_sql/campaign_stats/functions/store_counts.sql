-- purpose: sets a campaign's counters, series and latencies to what its messages count as, whatever they were before
-- grain:   one campaign; how many counters, hours and latencies were wrong. From its stored outcomes, or from the source (p_live)
-- reads:   headrace.message_outcome, or message_outcome_live
-- writes:  campaign_template_stats, campaign_hourly_stats, campaign_latency
-- locks:   the rows it writes; the caller holds the campaign
CREATE OR REPLACE FUNCTION headrace.store_counts(p_campaign_id uuid, p_live boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_outcomes headrace.message_outcome[];
    v_wrong bigint;
BEGIN
    IF p_live THEN
        SELECT array_agg(ROW(o.id::text, o.campaign_id, o.bits, o.template_name, o.sent_at, o.delivered_at, o.read_at, o.replied_at)::headrace.message_outcome)
        INTO v_outcomes FROM headrace.message_outcome_live o WHERE o.campaign_id = p_campaign_id;
    ELSE
        SELECT array_agg(o) INTO v_outcomes FROM headrace.message_outcome o WHERE o.campaign_id = p_campaign_id;
    END IF;
    WITH counted AS (
        SELECT
            o.template_name, count(*) AS total,
            count(*) FILTER (WHERE o.bits & 1 > 0) AS sent, count(*) FILTER (WHERE o.bits & 2 > 0) AS delivered,
            count(*) FILTER (WHERE o.bits & 4 > 0) AS read, count(*) FILTER (WHERE o.bits & 32 > 0) AS replied,
            count(*) FILTER (WHERE o.bits & 8 > 0) AS failed, count(*) FILTER (WHERE o.bits & 16 > 0) AS failed_queue
        FROM unnest(v_outcomes) o GROUP BY o.template_name
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
    ), hours AS (
        SELECT
            date_trunc('hour', v.at, 'UTC') AS hour, count(*) FILTER (WHERE v.kind = 's') AS sent, count(*) FILTER (WHERE v.kind = 'd') AS delivered,
            count(*) FILTER (WHERE v.kind = 'r') AS read, count(*) FILTER (WHERE v.kind = 'a') AS replied
        FROM unnest(v_outcomes) o
        CROSS JOIN LATERAL (VALUES ('s', o.sent_at), ('d', o.delivered_at), ('r', o.read_at), ('a', o.replied_at)) v (kind, at)
        WHERE isfinite(v.at) GROUP BY 1
    ), hours_gone AS (
        DELETE FROM headrace.campaign_hourly_stats h
        WHERE h.campaign_id = p_campaign_id AND NOT EXISTS (SELECT FROM hours k WHERE k.hour = h.hour)
        RETURNING 1
    ), hours_set AS (
        INSERT INTO headrace.campaign_hourly_stats AS h (campaign_id, hour, sent, delivered, read, replied)
        SELECT p_campaign_id, k.hour, k.sent, k.delivered, k.read, k.replied FROM hours k
        ON CONFLICT (campaign_id, hour) DO UPDATE SET
            sent = excluded.sent, delivered = excluded.delivered, read = excluded.read, replied = excluded.replied
        WHERE (h.sent, h.delivered, h.read, h.replied) <> (excluded.sent, excluded.delivered, excluded.read, excluded.replied)
        RETURNING 1
    ), latencies AS (
        SELECT v.kind, v.seconds, count(*) AS messages
        FROM unnest(v_outcomes) o
        CROSS JOIN LATERAL (VALUES
            ('d'::"char", headrace.latency_seconds(o.sent_at, o.delivered_at)), ('r'::"char", headrace.latency_seconds(o.sent_at, o.read_at))
        ) v (kind, seconds)
        WHERE v.seconds IS NOT NULL GROUP BY v.kind, v.seconds
    ), latencies_gone AS (
        DELETE FROM headrace.campaign_latency l
        WHERE l.campaign_id = p_campaign_id AND NOT EXISTS (SELECT FROM latencies k WHERE k.kind = l.kind AND k.seconds = l.seconds)
        RETURNING l.messages
    ), latencies_set AS (
        INSERT INTO headrace.campaign_latency AS l (campaign_id, kind, seconds, messages)
        SELECT p_campaign_id, k.kind, k.seconds, k.messages FROM latencies k
        ON CONFLICT (campaign_id, kind, seconds) DO UPDATE SET messages = excluded.messages WHERE l.messages <> excluded.messages
        RETURNING 1
    )
    SELECT
        (SELECT count(*) FROM gone) + (SELECT count(*) FROM healed) + (SELECT count(*) FROM made)
        + (SELECT count(*) FROM hours_gone) + (SELECT count(*) FROM hours_set)
        + (SELECT count(*) FROM latencies_gone WHERE messages > 0) + (SELECT count(*) FROM latencies_set)
    INTO v_wrong;
    RETURN v_wrong;
END
$$;
