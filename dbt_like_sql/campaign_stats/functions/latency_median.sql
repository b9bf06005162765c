-- purpose: the median of a campaign's latencies: the middle value in order, or the mean of the two middle ones
-- grain:   one campaign and kind ('d' to delivered, 'r' to read); seconds, null if there are none
-- reads:   headrace.campaign_latency
-- writes:  nothing
-- locks:   none
--
-- Every document needs two of them: the plan is kept, and a campaign without latencies returns at once.
CREATE OR REPLACE FUNCTION headrace.latency_median(p_campaign_id uuid, p_kind "char") RETURNS numeric
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id AND l.kind = p_kind AND l.messages > 0) THEN
        RETURN NULL;
    END IF;
    RETURN (
        WITH block AS (
            SELECT l.block, l.messages, sum(l.messages) OVER (ORDER BY l.block) AS upto, sum(l.messages) OVER () AS total
            FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id AND l.kind = p_kind AND l.messages > 0
        )
        SELECT trim_scale(avg(m.seconds))
        FROM (SELECT b.total FROM block b LIMIT 1) t
        CROSS JOIN LATERAL (VALUES (div(t.total + 1, 2)), (div(t.total, 2) + 1)) k (rank)
        CROSS JOIN LATERAL (
            SELECT min(x.seconds) AS seconds
            FROM (
                SELECT c.seconds, b.upto - b.messages + sum(c.n) OVER (ORDER BY c.seconds) AS upto
                FROM block b
                INNER JOIN headrace.campaign_latency l ON l.campaign_id = p_campaign_id AND l.kind = p_kind AND l.block = b.block
                CROSS JOIN LATERAL unnest(l.seconds, l.counts) c (seconds, n)
                WHERE b.upto >= k.rank AND b.upto - b.messages < k.rank
            ) x
            WHERE x.upto >= k.rank
        ) m
    );
END
$$;
