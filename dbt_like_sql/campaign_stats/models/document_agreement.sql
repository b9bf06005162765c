-- purpose: whether each stored document agrees with the stored counters; both are written in one transaction
-- grain:   one row per campaign that Headrace has; agrees is false if there is no document
-- reads:   headrace.campaign, campaign_computed_stats, campaign_template_stats
-- writes:  nothing
-- locks:   none
--
-- A frozen document must also be marked as frozen and have the checksum of its contents. Templates are compared as documents list
-- them: if there are very many, those with the most messages (refresh_documents).
CREATE OR REPLACE VIEW headrace.document_agreement AS
SELECT
    k.campaign_id,
    k.state IN ('frozen', 'amended') AS frozen,
    coalesce(
        d.template_stats @> c.templates
        AND jsonb_array_length(d.template_stats) = jsonb_array_length(c.templates)
        AND d.totals @> (to_jsonb(c) - 'templates' - 'all_templates')
        AND coalesce((d.totals ->> 'templates')::bigint, jsonb_array_length(d.template_stats)) = c.all_templates
        AND (
            k.state NOT IN ('frozen', 'amended')
            OR d.state = k.state AND d.frozen_at IS NOT NULL AND d.checksum = md5(d.template_stats::text || d.totals::text)
        ),
        false
    ) AS agrees
FROM headrace.campaign AS k
LEFT JOIN headrace.campaign_computed_stats AS d ON k.campaign_id = d.campaign_id
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(s.total), 0) AS total,
        coalesce(sum(s.sent), 0) AS sent,
        coalesce(sum(s.delivered), 0) AS delivered,
        coalesce(sum(s.read), 0) AS read,
        coalesce(sum(s.replied), 0) AS replied,
        coalesce(sum(s.failed), 0) AS failed,
        coalesce(sum(s.failed_queue), 0) AS failed_queue,
        count(s.place) AS all_templates,
        coalesce(jsonb_agg(jsonb_build_object(
            'template_name', headrace.listed_template(s.template_name, s.template_md5), 'total', s.total, 'sent', s.sent, 'delivered', s.delivered,
            'read', s.read, 'replied', s.replied, 'failed', s.failed, 'failed_queue', s.failed_queue
        )) FILTER (WHERE s.place <= headrace.most_listed_templates()), '[]') AS templates
    FROM (
        SELECT
            t.*,
            row_number() OVER (ORDER BY t.total DESC, t.template_md5 ASC) AS place
        FROM headrace.campaign_template_stats AS t
        WHERE t.campaign_id = k.campaign_id
    ) AS s
) AS c
