-- purpose: adds to the series and the latencies what a change of first evidence means for them
-- grain:   one call per fold or rebuild; the campaigns whose latencies, and with them medians, changed
-- reads:   nothing
-- writes:  campaign_hour, campaign_latency
-- locks:   the rows it writes; the caller holds all campaigns that occur
CREATE OR REPLACE FUNCTION headrace.apply_times(p_changes headrace.outcome_change[]) RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_campaigns uuid[];
BEGIN
    WITH delta AS (
        SELECT x.campaign_id, x.hour, sum(x.sent) AS sent, sum(x.delivered) AS delivered, sum(x.read) AS read, sum(x.replied) AS replied
        FROM (
            SELECT
                v.campaign_id, date_bin('1 hour', v.at, '2000-01-01 00:00+00') AS hour,
                CASE v.kind WHEN 's' THEN v.sign ELSE 0 END AS sent, CASE v.kind WHEN 'd' THEN v.sign ELSE 0 END AS delivered,
                CASE v.kind WHEN 'r' THEN v.sign ELSE 0 END AS read, CASE v.kind WHEN 'a' THEN v.sign ELSE 0 END AS replied
            FROM unnest(p_changes) d
            CROSS JOIN LATERAL (VALUES
                (d.new_campaign, 's', d.new_sent_at, d.old_sent_at, 1), (d.old_campaign, 's', d.old_sent_at, d.new_sent_at, -1),
                (d.new_campaign, 'd', d.new_delivered_at, d.old_delivered_at, 1), (d.old_campaign, 'd', d.old_delivered_at, d.new_delivered_at, -1),
                (d.new_campaign, 'r', d.new_read_at, d.old_read_at, 1), (d.old_campaign, 'r', d.old_read_at, d.new_read_at, -1),
                (d.new_campaign, 'a', d.new_replied_at, d.old_replied_at, 1), (d.old_campaign, 'a', d.old_replied_at, d.new_replied_at, -1)
            ) v (campaign_id, kind, at, other, sign)
            WHERE v.campaign_id IS NOT NULL AND isfinite(v.at) AND (v.at IS DISTINCT FROM v.other OR d.old_campaign IS DISTINCT FROM d.new_campaign)
        ) x
        GROUP BY x.campaign_id, x.hour
        HAVING (sum(x.sent), sum(x.delivered), sum(x.read), sum(x.replied)) <> (0, 0, 0, 0)
    ), added AS (
        UPDATE headrace.campaign_hour h SET
            sent = h.sent + d.sent, delivered = h.delivered + d.delivered, read = h.read + d.read, replied = h.replied + d.replied
        FROM delta d
        WHERE h.campaign_id = d.campaign_id AND h.hour = d.hour
        RETURNING h.*
    ), made AS (
        INSERT INTO headrace.campaign_hour (campaign_id, hour, sent, delivered, read, replied)
        SELECT d.campaign_id, d.hour, d.sent, d.delivered, d.read, d.replied FROM delta d
        WHERE NOT EXISTS (SELECT FROM headrace.campaign_hour h WHERE h.campaign_id = d.campaign_id AND h.hour = d.hour)
    )
    SELECT array_agg(DISTINCT a.campaign_id) FILTER (WHERE (a.sent, a.delivered, a.read, a.replied) = (0, 0, 0, 0)) INTO v_campaigns FROM added a;
    IF v_campaigns IS NOT NULL THEN
        DELETE FROM headrace.campaign_hour h
        WHERE h.campaign_id = ANY (v_campaigns) AND (h.sent, h.delivered, h.read, h.replied) = (0, 0, 0, 0);
    END IF;

    WITH delta AS (
        SELECT v.campaign_id, v.kind, v.seconds, sum(v.sign)::integer AS messages
        FROM unnest(p_changes) d
        CROSS JOIN LATERAL (VALUES
            (d.new_campaign, 'd'::"char", headrace.latency_seconds(d.new_sent_at, d.new_delivered_at), 1),
            (d.old_campaign, 'd'::"char", headrace.latency_seconds(d.old_sent_at, d.old_delivered_at), -1),
            (d.new_campaign, 'r'::"char", headrace.latency_seconds(d.new_sent_at, d.new_read_at), 1),
            (d.old_campaign, 'r'::"char", headrace.latency_seconds(d.old_sent_at, d.old_read_at), -1)
        ) v (campaign_id, kind, seconds, sign)
        WHERE v.campaign_id IS NOT NULL AND v.seconds IS NOT NULL
        GROUP BY 1, 2, 3
        HAVING sum(v.sign) <> 0
    ), placed AS (
        SELECT d.campaign_id, d.kind, headrace.latency_place(d.seconds) AS place, d.messages FROM delta d OFFSET 0
    ), block AS (
        SELECT
            d.campaign_id, d.kind, d.place / 60 AS block, array_agg(d.place % 60) AS places, array_agg(d.messages) AS added,
            sum(d.messages) AS messages
        FROM placed d GROUP BY 1, 2, 3
    ), added AS (
        UPDATE headrace.campaign_latency l SET
            messages = l.messages + b.messages, counts = headrace.add_counts(l.counts, b.places, b.added)
        FROM block b
        WHERE l.campaign_id = b.campaign_id AND l.kind = b.kind AND l.block = b.block
    ), made AS (
        INSERT INTO headrace.campaign_latency (campaign_id, kind, block, messages, counts)
        SELECT b.campaign_id, b.kind, b.block, b.messages, headrace.add_counts(array_fill(0, ARRAY[60]), b.places, b.added) FROM block b
        WHERE NOT EXISTS (
            SELECT FROM headrace.campaign_latency l WHERE l.campaign_id = b.campaign_id AND l.kind = b.kind AND l.block = b.block)
    )
    SELECT array_agg(DISTINCT b.campaign_id) INTO v_campaigns FROM block b;
    RETURN v_campaigns;
END
$$;
