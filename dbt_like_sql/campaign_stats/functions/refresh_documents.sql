-- purpose: writes the serving documents of campaigns from their stored counters; the version rises only if numbers changed
-- grain:   one document per campaign named that is not frozen; p_frozen: frozen ones too, whose latencies the caller has stored
-- reads:   headrace.campaign_template_stats, campaign_latency, headrace.campaign
-- writes:  headrace.campaign_computed_stats; how many documents changed
-- locks:   the campaigns' own rows, in id order, before the counters are read; the documents' rows
CREATE OR REPLACE FUNCTION headrace.refresh_documents(p_campaigns uuid[], p_frozen boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_written bigint;
BEGIN
    PERFORM headrace.lock_campaigns(p_campaigns);
    WITH document AS (
        SELECT
            k.id AS campaign_id,
            coalesce(jsonb_agg(
                jsonb_build_object('template_name', s.template_name)
                || headrace.counters_json(s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)
                ORDER BY s.template_name COLLATE "C") FILTER (WHERE s.campaign_id IS NOT NULL), '[]') AS template_stats,
            headrace.counters_json(
                coalesce(sum(s.total), 0)::bigint, coalesce(sum(s.sent), 0)::bigint, coalesce(sum(s.delivered), 0)::bigint,
                coalesce(sum(s.read), 0)::bigint, coalesce(sum(s.replied), 0)::bigint, coalesce(sum(s.failed), 0)::bigint,
                coalesce(sum(s.failed_queue), 0)::bigint)
                || jsonb_build_object(
                    'median_seconds_to_delivered', headrace.latency_median(k.id, 'd'), 'median_seconds_to_read', headrace.latency_median(k.id, 'r')) AS totals
        FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id) k
        LEFT JOIN headrace.campaign_template_stats s ON s.campaign_id = k.id
        GROUP BY k.id
    ), written AS (
        INSERT INTO headrace.campaign_computed_stats AS d (campaign_id, template_stats, totals, state, version, checksum)
        SELECT
            n.campaign_id, n.template_stats, n.totals, CASE WHEN c.state = 'settling' THEN 'settling' ELSE 'live' END,
            c.last_version + 1, md5(n.template_stats::text || n.totals::text)
        FROM document n INNER JOIN headrace.campaign c ON c.campaign_id = n.campaign_id
        WHERE p_frozen OR c.state NOT IN ('frozen', 'amended')
        ORDER BY n.campaign_id
        ON CONFLICT (campaign_id) DO UPDATE SET
            template_stats = excluded.template_stats, totals = excluded.totals, checksum = excluded.checksum,
            version = d.version + 1, computed_at = clock_timestamp()
        WHERE (d.template_stats, d.totals, d.checksum) IS DISTINCT FROM (excluded.template_stats, excluded.totals, excluded.checksum)
        RETURNING 1
    )
    SELECT count(*) INTO v_written FROM written;
    RETURN v_written;
END
$$;
