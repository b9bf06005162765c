-- purpose: totals of campaign_template_stats: campaigns, rows, templates, counters
-- grain:   one row, or one per UTC day of creation if `daily`; over the campaigns created in the window, or all
-- reads:   headrace.campaign_template_stats, campaigns_created
-- writes:  nothing
-- locks:   none
SELECT
    CASE WHEN :daily THEN (c.created_at AT TIME ZONE 'UTC')::date END AS day,
    count(DISTINCT s.campaign_id) AS campaigns,
    count(*) AS row_count,
    count(DISTINCT s.template_name) + max((s.template_name IS NULL)::integer) AS lines,
    sum(s.total)::bigint AS total,
    sum(s.sent)::bigint AS sent,
    sum(s.delivered)::bigint AS delivered,
    sum(s.read)::bigint AS read,
    sum(s.replied)::bigint AS replied,
    sum(s.failed)::bigint AS failed,
    sum(s.failed_queue)::bigint AS failed_queue
FROM headrace.campaign_template_stats AS s
LEFT JOIN headrace.campaigns_created(:start, :end) AS c ON s.campaign_id = c.campaign_id
WHERE :start::timestamptz IS NULL OR c.campaign_id IS NOT NULL
GROUP BY 1
