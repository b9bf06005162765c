-- purpose: serving documents that differ from the stored counters, and documents or counters with impossible numbers
-- grain:   one row per fault: campaign, place (document or counters), template (is_total: the totals), the document's value, the counted value
-- reads:   headrace.campaign, campaign_computed_stats, campaign_template_stats
-- writes:  nothing
-- locks:   none
--
-- For a campaign with very many templates only those that its document lists (refresh_documents) are compared. A campaign whose
-- document is put off is left out. Documents are compared as they are, JSON with JSON: a missing value or one that is no number is a
-- fault, never an error. A document that equals possible counters is itself possible, so only the others are taken apart.
CREATE OR REPLACE VIEW headrace.document_faults AS
WITH pair AS MATERIALIZED (
    SELECT
        u.campaign_id,
        u.is_total,
        u.template_name,
        count(u.said) AS times_said,
        count(u.counted) AS times_counted,
        min(u.said::text)::jsonb AS said,
        min(u.counted::text)::jsonb AS counted
    FROM (
        SELECT
            d.campaign_id,
            true AS is_total,
            NULL::text AS template_name,
            CASE
                WHEN jsonb_typeof(d.totals) = 'object' THEN d.totals - 'median_seconds_to_delivered' - 'median_seconds_to_read'
                ELSE d.totals
            END AS said,
            NULL::jsonb AS counted
        FROM headrace.campaign_computed_stats AS d
        UNION ALL
        SELECT
            d.campaign_id,
            false AS is_total,
            e.numbers ->> 'template_name' AS template_name,
            CASE WHEN jsonb_typeof(e.numbers) = 'object' THEN e.numbers - 'template_name' ELSE e.numbers END AS said,
            NULL AS counted
        FROM headrace.campaign_computed_stats AS d
        CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(d.template_stats) = 'array' THEN d.template_stats ELSE '[]' END) AS e (numbers)
        UNION ALL
        SELECT
            s.campaign_id,
            false AS is_total,
            headrace.listed_template(s.template_name, s.template_md5) AS template_name,
            NULL AS said,
            headrace.counters_json(s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue) AS counted
        FROM (
            SELECT
                t.*,
                row_number() OVER (PARTITION BY t.campaign_id ORDER BY t.total DESC, t.template_md5 ASC) AS place
            FROM headrace.campaign_template_stats AS t
        ) AS s
        WHERE s.place <= headrace.most_listed_templates()
        UNION ALL
        SELECT
            d.campaign_id,
            true AS is_total,
            NULL AS template_name,
            NULL AS said,
            headrace.counters_json(
                coalesce(sum(s.total), 0)::bigint, coalesce(sum(s.sent), 0)::bigint, coalesce(sum(s.delivered), 0)::bigint,
                coalesce(sum(s.read), 0)::bigint, coalesce(sum(s.replied), 0)::bigint, coalesce(sum(s.failed), 0)::bigint,
                coalesce(sum(s.failed_queue), 0)::bigint) || headrace.templates_json(count(s.campaign_id)) AS counted
        FROM headrace.campaign_computed_stats AS d
        LEFT JOIN headrace.campaign_template_stats AS s ON d.campaign_id = s.campaign_id
        GROUP BY d.campaign_id
    ) AS u
    WHERE
        u.campaign_id NOT IN (
            SELECT k.campaign_id FROM headrace.campaign AS k
            WHERE k.document_due_at IS NOT NULL
        )
    GROUP BY u.campaign_id, u.is_total, u.template_name
    HAVING count(u.said) <> 1 OR count(u.counted) <> 1 OR min(u.said::text) <> min(u.counted::text)
),

doubtful AS (
    SELECT
        p.campaign_id,
        'document' AS place,
        p.is_total,
        p.template_name,
        p.said AS numbers
    FROM pair AS p
    UNION ALL
    SELECT
        s.campaign_id,
        'counters' AS place,
        false AS is_total,
        s.template_name,
        headrace.counters_json(s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue) AS numbers
    FROM headrace.campaign_template_stats AS s
    WHERE NOT (
        s.total >= s.sent AND s.sent >= s.delivered AND s.delivered >= s.read AND s.replied <= s.sent
        AND s.failed <= s.total - s.delivered AND s.failed_queue <= s.failed)
)

SELECT
    b.campaign_id,
    b.place,
    b.is_total,
    b.template_name,
    r.part || ' exceeds ' || r.whole AS problem,
    b.numbers -> r.part AS said,
    r.most AS counted
FROM doubtful AS b
CROSS JOIN LATERAL (
    VALUES
    ('sent', 'total', b.numbers -> 'total'),
    ('delivered', 'sent', b.numbers -> 'sent'),
    ('read', 'delivered', b.numbers -> 'delivered'),
    ('replied', 'sent', b.numbers -> 'sent'),
    ('failed_queue', 'failed', b.numbers -> 'failed'),
    ('failed', 'total - delivered', CASE
        WHEN jsonb_typeof(b.numbers -> 'total') = 'number' AND jsonb_typeof(b.numbers -> 'delivered') = 'number'
            THEN to_jsonb((b.numbers ->> 'total')::numeric - (b.numbers ->> 'delivered')::numeric)
    END)
) AS r (part, whole, most)
WHERE jsonb_typeof(b.numbers -> r.part) = 'number' AND jsonb_typeof(r.most) = 'number' AND b.numbers -> r.part > r.most
UNION ALL
SELECT
    p.campaign_id,
    'document' AS place,
    p.is_total,
    p.template_name,
    k.counter || ' differs' AS problem,
    p.said -> k.counter AS said,
    p.counted -> k.counter AS counted
FROM pair AS p
CROSS JOIN LATERAL (
    SELECT jsonb_object_keys(p.counted) AS counter
    UNION
    SELECT jsonb_object_keys(CASE WHEN jsonb_typeof(p.said) = 'object' THEN p.said ELSE '{}' END) AS counter
) AS k
WHERE p.times_said = 1 AND p.times_counted = 1 AND (p.said -> k.counter)::text IS DISTINCT FROM (p.counted -> k.counter)::text
UNION ALL
SELECT
    p.campaign_id,
    'document' AS place,
    p.is_total,
    p.template_name,
    CASE
        WHEN p.times_said = 0 THEN 'lacks it'
        WHEN p.times_counted = 0 THEN 'has it, the counters do not'
        ELSE 'has it more than once'
    END AS problem,
    p.said -> 'total' AS said,
    p.counted -> 'total' AS counted
FROM pair AS p
INNER JOIN headrace.campaign_computed_stats AS d ON p.campaign_id = d.campaign_id
WHERE p.times_said <> 1 OR p.times_counted <> 1
UNION ALL
SELECT DISTINCT
    s.campaign_id,
    'document' AS place,
    true AS is_total,
    NULL AS template_name,
    'is not there' AS problem,
    NULL::jsonb AS said,
    NULL::jsonb AS counted
FROM headrace.campaign_template_stats AS s
LEFT JOIN headrace.campaign_computed_stats AS d ON s.campaign_id = d.campaign_id
WHERE d.campaign_id IS NULL
UNION ALL
SELECT
    d.campaign_id,
    'document' AS place,
    true AS is_total,
    NULL AS template_name,
    'checksum differs' AS problem,
    to_jsonb(d.checksum) AS said,
    to_jsonb(md5(d.template_stats::text || d.totals::text)) AS counted
FROM headrace.campaign_computed_stats AS d
WHERE d.checksum <> md5(d.template_stats::text || d.totals::text)
UNION ALL
SELECT
    k.campaign_id,
    'document' AS place,
    true AS is_total,
    NULL AS template_name,
    'state differs from the campaign''s' AS problem,
    to_jsonb(d.state) AS said,
    to_jsonb(k.state) AS counted
FROM headrace.campaign AS k
INNER JOIN headrace.campaign_computed_stats AS d ON k.campaign_id = d.campaign_id
WHERE (k.state IN ('frozen', 'amended') OR d.state IN ('frozen', 'amended')) AND (d.state <> k.state OR d.frozen_at IS NULL)
