-- purpose: campaigns for display, with the numbers of their documents
-- grain:   one row per campaign, the newest first; at most `most`, per UTC day of creation if `daily`
-- reads:   headrace.campaign_computed_stats, campaigns_created
-- writes:  nothing
-- locks:   none
SELECT r.*
FROM (
    SELECT
        x.day,
        row_number() OVER (PARTITION BY x.day ORDER BY c.created_at DESC NULLS LAST, d.campaign_id ASC) AS place,
        coalesce(c.name, d.facts ->> 'name') AS campaign,
        coalesce(c.status, 'deleted') AS status,
        d.state,
        d.version,
        to_char(d.computed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS "computed (UTC)", -- noqa: RF05
        t.total,
        t.sent,
        t.delivered,
        t.read,
        t.replied,
        t.failed,
        t.failed_queue
    FROM headrace.campaign_computed_stats AS d
    LEFT JOIN headrace.campaigns_created(:start, :end) AS c ON d.campaign_id = c.campaign_id
    CROSS JOIN LATERAL jsonb_to_record(d.totals) AS t (
        total bigint, sent bigint, delivered bigint, read bigint, replied bigint, failed bigint, failed_queue bigint
    )
    CROSS JOIN LATERAL (SELECT CASE WHEN :daily THEN (c.created_at AT TIME ZONE 'UTC')::date END AS day) AS x
    WHERE :start::timestamptz IS NULL OR c.campaign_id IS NOT NULL
) AS r
WHERE r.place <= :most
ORDER BY r.day, r.place
