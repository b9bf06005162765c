-- purpose: updates series and latencies when messages' times of first evidence change
-- grain:   one call per fold; the campaigns whose latencies, and so medians, changed
-- reads:   nothing
-- writes:  campaign_hour, campaign_latency
-- locks:   the rows it writes; the caller holds all campaigns involved
CREATE OR REPLACE FUNCTION headrace.apply_times(p_changes headrace.outcome_change[]) RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_campaigns uuid[];
    v_hours timestamptz[];
BEGIN
    WITH change AS MATERIALIZED (
        SELECT d.*, d.old_campaign IS DISTINCT FROM d.new_campaign AS moved FROM unnest(p_changes) d
    ), evidence AS (
        SELECT c.new_campaign AS campaign_id, c.new_sent_at AS at, 1 AS sent, 0 AS delivered, 0 AS read, 0 AS replied
        FROM change c WHERE c.moved OR c.new_sent_at IS DISTINCT FROM c.old_sent_at
        UNION ALL
        SELECT c.old_campaign, c.old_sent_at, -1, 0, 0, 0
        FROM change c WHERE c.moved OR c.new_sent_at IS DISTINCT FROM c.old_sent_at
        UNION ALL
        SELECT c.new_campaign, c.new_delivered_at, 0, 1, 0, 0
        FROM change c WHERE c.moved OR c.new_delivered_at IS DISTINCT FROM c.old_delivered_at
        UNION ALL
        SELECT c.old_campaign, c.old_delivered_at, 0, -1, 0, 0
        FROM change c WHERE c.moved OR c.new_delivered_at IS DISTINCT FROM c.old_delivered_at
        UNION ALL
        SELECT c.new_campaign, c.new_read_at, 0, 0, 1, 0
        FROM change c WHERE c.moved OR c.new_read_at IS DISTINCT FROM c.old_read_at
        UNION ALL
        SELECT c.old_campaign, c.old_read_at, 0, 0, -1, 0
        FROM change c WHERE c.moved OR c.new_read_at IS DISTINCT FROM c.old_read_at
        UNION ALL
        SELECT c.new_campaign, c.new_replied_at, 0, 0, 0, 1
        FROM change c WHERE c.moved OR c.new_replied_at IS DISTINCT FROM c.old_replied_at
        UNION ALL
        SELECT c.old_campaign, c.old_replied_at, 0, 0, 0, -1
        FROM change c WHERE c.moved OR c.new_replied_at IS DISTINCT FROM c.old_replied_at
    ), delta AS (
        SELECT
            e.campaign_id, date_bin('1 hour', e.at, '2000-01-01 00:00+00') AS hour,
            sum(e.sent) AS sent, sum(e.delivered) AS delivered, sum(e.read) AS read, sum(e.replied) AS replied
        FROM evidence e
        WHERE e.campaign_id IS NOT NULL AND isfinite(e.at)
        GROUP BY 1, 2
        HAVING (sum(e.sent), sum(e.delivered), sum(e.read), sum(e.replied)) <> (0, 0, 0, 0)
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
    SELECT array_agg(a.campaign_id), array_agg(a.hour) INTO v_campaigns, v_hours
    FROM added a WHERE (a.sent, a.delivered, a.read, a.replied) = (0, 0, 0, 0);
    IF v_campaigns IS NOT NULL THEN
        DELETE FROM headrace.campaign_hour h USING unnest(v_campaigns, v_hours) e (campaign_id, hour)
        WHERE h.campaign_id = e.campaign_id AND h.hour = e.hour AND (h.sent, h.delivered, h.read, h.replied) = (0, 0, 0, 0);
    END IF;

    -- Not with VALUES, whose expressions are initialized again for every row.
    WITH change AS MATERIALIZED (
        SELECT d.* FROM unnest(p_changes) d
    ), latency AS (
        SELECT c.new_campaign AS campaign_id, 'd'::"char" AS kind, headrace.latency_seconds(c.new_sent_at, c.new_delivered_at) AS seconds, 1 AS sign
        FROM change c
        UNION ALL
        SELECT c.old_campaign, 'd', headrace.latency_seconds(c.old_sent_at, c.old_delivered_at), -1 FROM change c
        UNION ALL
        SELECT c.new_campaign, 'r', headrace.latency_seconds(c.new_sent_at, c.new_read_at), 1 FROM change c
        UNION ALL
        SELECT c.old_campaign, 'r', headrace.latency_seconds(c.old_sent_at, c.old_read_at), -1 FROM change c
    ), delta AS (
        SELECT l.campaign_id, l.kind, l.seconds, sum(l.sign)::integer AS messages
        FROM latency l
        WHERE l.campaign_id IS NOT NULL AND l.seconds IS NOT NULL
        GROUP BY 1, 2, 3
        HAVING sum(l.sign) <> 0
    ), block AS (
        SELECT
            d.campaign_id, d.kind, headrace.latency_block(d.seconds) AS block, array_agg(d.seconds) AS seconds, array_agg(d.messages) AS added,
            sum(d.messages) AS messages
        FROM delta d GROUP BY 1, 2, 3
    ), added AS (
        UPDATE headrace.campaign_latency l SET
            messages = l.messages + b.messages,
            (seconds, counts) = (SELECT m.vals, m.counts FROM headrace.merge_counts(l.seconds, l.counts, b.seconds, b.added) m)
        FROM block b
        WHERE l.campaign_id = b.campaign_id AND l.kind = b.kind AND l.block = b.block
    ), made AS (
        INSERT INTO headrace.campaign_latency (campaign_id, kind, block, messages, seconds, counts)
        SELECT b.campaign_id, b.kind, b.block, b.messages, m.vals, m.counts
        FROM block b CROSS JOIN LATERAL headrace.merge_counts('{}', '{}', b.seconds, b.added) m
        WHERE NOT EXISTS (
            SELECT FROM headrace.campaign_latency l WHERE l.campaign_id = b.campaign_id AND l.kind = b.kind AND l.block = b.block)
    )
    SELECT array_agg(DISTINCT b.campaign_id) INTO v_campaigns FROM block b;
    RETURN v_campaigns;
END
$$;
