-- purpose: the median of a campaign's latencies: of n values in order the middle one, or the mean of the two in the middle
-- grain:   one campaign and kind ('d' to delivered, 'r' to read); seconds, null where there is none
-- reads:   headrace.campaign_latency
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.latency_median(p_campaign_id uuid, p_kind "char") RETURNS numeric
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH block AS (
        SELECT l.block, l.counts, l.messages, sum(l.messages) OVER (ORDER BY l.block) AS upto, sum(l.messages) OVER () AS total
        FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id AND l.kind = p_kind AND l.messages > 0
    )
    SELECT trim_scale(avg(CASE
        WHEN m.place < 3600 THEN m.place
        WHEN m.place < 6000 THEN 3600 + (m.place - 3600) * 60
        ELSE 86400 + (m.place - 6000) * 3600
    END))
    FROM (SELECT b.total FROM block b LIMIT 1) t
    CROSS JOIN LATERAL (VALUES (div(t.total + 1, 2)), (div(t.total, 2) + 1)) k (rank)
    CROSS JOIN LATERAL (
        SELECT min(x.place) AS place
        FROM (
            SELECT b.block * 60 + c.n - 1 AS place, b.upto - b.messages + sum(c.messages) OVER (ORDER BY c.n) AS upto
            FROM block b CROSS JOIN LATERAL unnest(b.counts) WITH ORDINALITY c (messages, n)
            WHERE b.upto >= k.rank AND b.upto - b.messages < k.rank
        ) x
        WHERE x.upto >= k.rank
    ) m
$$;
