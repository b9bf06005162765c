-- purpose: a campaign's totals and per-template statistics, counted from the source rows now
-- grain:   one campaign: {totals, template_stats}, as stored documents have them
-- reads:   message_outcome_live
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.live_stats(p_campaign_id uuid) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
    WITH outcome AS MATERIALIZED (
        SELECT
            headrace.template_key(o.template_name) AS template_name, o.bits,
            headrace.latency_seconds(o.sent_at, o.delivered_at) AS delivered_after, headrace.latency_seconds(o.sent_at, o.read_at) AS read_after
        FROM headrace.message_outcome_live() o WHERE o.campaign_id = p_campaign_id
    ), template AS (
        SELECT
            o.template_name, count(*) AS total,
            count(*) FILTER (WHERE o.bits & 1 > 0) AS sent, count(*) FILTER (WHERE o.bits & 2 > 0) AS delivered,
            count(*) FILTER (WHERE o.bits & 4 > 0) AS read, count(*) FILTER (WHERE o.bits & 32 > 0) AS replied,
            count(*) FILTER (WHERE o.bits & 8 > 0) AS failed, count(*) FILTER (WHERE o.bits & 16 > 0) AS failed_queue
        FROM outcome o GROUP BY o.template_name
    ), listed AS (
        SELECT t.* FROM template t ORDER BY t.total DESC, headrace.template_md5(t.template_name) LIMIT headrace.most_listed_templates()
    )
    SELECT jsonb_build_object(
        'totals', headrace.counters_json(
            coalesce(sum(t.total), 0)::bigint, coalesce(sum(t.sent), 0)::bigint, coalesce(sum(t.delivered), 0)::bigint,
            coalesce(sum(t.read), 0)::bigint, coalesce(sum(t.replied), 0)::bigint, coalesce(sum(t.failed), 0)::bigint,
            coalesce(sum(t.failed_queue), 0)::bigint)
            || (
                SELECT jsonb_build_object(
                    'median_seconds_to_delivered', trim_scale((percentile_cont(0.5) WITHIN GROUP (ORDER BY o.delivered_after))::numeric),
                    'median_seconds_to_read', trim_scale((percentile_cont(0.5) WITHIN GROUP (ORDER BY o.read_after))::numeric))
                FROM outcome o)
            || headrace.templates_json(count(*)),
        'template_stats', (
            SELECT coalesce(jsonb_agg(
                jsonb_build_object('template_name', l.template_name)
                || headrace.counters_json(l.total, l.sent, l.delivered, l.read, l.replied, l.failed, l.failed_queue)
                ORDER BY l.template_name COLLATE "C"), '[]')
            FROM listed l))
    FROM template t
$$;
