-- purpose: templates for display, with their counters
-- grain:   one row per template, the most messages first; at most `most`, per UTC day of creation if `daily`
-- reads:   headrace.campaign_template_stats, campaigns_created
-- writes:  nothing
-- locks:   none
SELECT r.*
FROM (
    SELECT
        d.day,
        row_number() OVER (PARTITION BY d.day ORDER BY sum(s.total) DESC, s.template_name ASC) AS place,
        s.template_name AS template,
        count(*) AS campaigns,
        sum(s.total)::bigint AS total,
        sum(s.sent)::bigint AS sent,
        sum(s.delivered)::bigint AS delivered,
        sum(s.read)::bigint AS read,
        sum(s.replied)::bigint AS replied,
        sum(s.failed)::bigint AS failed,
        sum(s.failed_queue)::bigint AS failed_queue
    FROM headrace.campaign_template_stats AS s
    LEFT JOIN headrace.campaigns_created(:start, :end) AS c ON s.campaign_id = c.campaign_id
    CROSS JOIN LATERAL (SELECT CASE WHEN :daily THEN (c.created_at AT TIME ZONE 'UTC')::date END AS day) AS d
    WHERE :start::timestamptz IS NULL OR c.campaign_id IS NOT NULL
    GROUP BY d.day, s.template_name
) AS r
WHERE r.place <= :most
ORDER BY r.day, r.place
