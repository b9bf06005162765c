-- purpose: requests an amendment of frozen campaigns that got late changes
-- grain:   the campaigns of these messages that are frozen or amended
-- reads:   headrace.campaign, campaign_computed_stats, campaign_stats_pending_amendment
-- writes:  headrace.campaign
-- locks:   the campaigns' own rows: the caller holds them
CREATE OR REPLACE FUNCTION headrace.request_amendments(p_campaigns uuid[], p_messages text[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    UPDATE headrace.campaign c SET
        rebuild_requested_at = coalesce(c.rebuild_requested_at, clock_timestamp()),
        -- An amendment recounts the whole campaign, so late changes of a large one are collected: a worker keeps most of its time for others.
        rebuild_not_before = CASE WHEN k.total >= 5000 THEN k.last_at + least(interval '0.2 ms' * k.total, interval '1 minute') END,
        -- a few, to be named in the amendment
        late_messages = ARRAY(SELECT DISTINCT m FROM unnest(c.late_messages || k.messages) m ORDER BY m LIMIT 20)
    FROM (
        SELECT
            u.campaign, array_agg(DISTINCT u.message) AS messages, max((d.totals ->> 'total')::bigint) AS total,
            max(greatest(s.rebuilt_at, p.last_at)) AS last_at
        FROM unnest(p_campaigns, p_messages) u (campaign, message)
        INNER JOIN headrace.campaign s ON s.campaign_id = u.campaign
        LEFT JOIN headrace.campaign_computed_stats d ON d.campaign_id = u.campaign
        LEFT JOIN headrace.campaign_stats_pending_amendment p ON p.campaign_id = u.campaign
        GROUP BY u.campaign
    ) k
    WHERE c.campaign_id = k.campaign AND c.state IN ('frozen', 'amended')
$$;
