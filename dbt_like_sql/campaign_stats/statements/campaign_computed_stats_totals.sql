-- purpose: totals of campaign_computed_stats: campaigns, rows, lines (one per campaign), counters
-- grain:   one row, or one per UTC day of creation if `daily`; over the campaigns created in the window, or all
-- reads:   headrace.campaign_computed_stats, campaigns_created
-- writes:  nothing
-- locks:   none
SELECT
    CASE WHEN :daily THEN (c.created_at AT TIME ZONE 'UTC')::date END AS day,
    count(*) AS campaigns,
    count(*) AS row_count,
    count(*) AS lines,
    sum(t.total)::bigint AS total,
    sum(t.sent)::bigint AS sent,
    sum(t.delivered)::bigint AS delivered,
    sum(t.read)::bigint AS read,
    sum(t.replied)::bigint AS replied,
    sum(t.failed)::bigint AS failed,
    sum(t.failed_queue)::bigint AS failed_queue
FROM headrace.campaign_computed_stats AS d
LEFT JOIN headrace.campaigns_created(:start, :end) AS c ON d.campaign_id = c.campaign_id
CROSS JOIN LATERAL jsonb_to_record(d.totals) AS t (
    total bigint, sent bigint, delivered bigint, read bigint, replied bigint, failed bigint, failed_queue bigint
)
WHERE :start::timestamptz IS NULL OR c.campaign_id IS NOT NULL
GROUP BY 1
