-- purpose: writes campaigns' serving documents from their stored counters; the version rises only if numbers changed
-- grain:   one document per named campaign that is not frozen; p_frozen: also frozen ones, whose latencies the caller has stored
-- reads:   headrace.campaign_template_stats, campaign_latency, headrace.campaign
-- writes:  headrace.campaign_computed_stats; campaign.document_due_at. Returns how many documents changed
-- locks:   the campaigns' own rows, in id order, before the counters are read; the documents' rows
--
-- Totals cover all templates. If there are more than most_listed_templates(), only those with the most messages are listed, by their
-- keys, and the totals say how many there are and how many are left out. The plan is kept, because planning takes longer than one document.
CREATE OR REPLACE FUNCTION headrace.refresh_documents(p_campaigns uuid[], p_frozen boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_written bigint;
BEGIN
    IF coalesce(cardinality(p_campaigns), 0) = 0 THEN
        RETURN 0;
    END IF;
    PERFORM headrace.lock_campaigns(p_campaigns);
    WITH document AS MATERIALIZED (
        SELECT
            k.id AS campaign_id, l.template_stats,
            headrace.counters_json(a.total, a.sent, a.delivered, a.read, a.replied, a.failed, a.failed_queue)
                || jsonb_build_object(
                    'median_seconds_to_delivered', headrace.latency_median(k.id, 'd'), 'median_seconds_to_read', headrace.latency_median(k.id, 'r'))
                || CASE WHEN a.templates > headrace.most_listed_templates() THEN headrace.templates_json(a.templates) ELSE '{}' END AS totals
        FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id) k
        CROSS JOIN LATERAL (
            SELECT
                count(*) AS templates,
                coalesce(sum(s.total), 0)::bigint AS total, coalesce(sum(s.sent), 0)::bigint AS sent, coalesce(sum(s.delivered), 0)::bigint AS delivered,
                coalesce(sum(s.read), 0)::bigint AS read, coalesce(sum(s.replied), 0)::bigint AS replied, coalesce(sum(s.failed), 0)::bigint AS failed,
                coalesce(sum(s.failed_queue), 0)::bigint AS failed_queue
            FROM headrace.campaign_template_stats s WHERE s.campaign_id = k.id
        ) a
        CROSS JOIN LATERAL (
            SELECT
                coalesce(jsonb_agg(
                    jsonb_build_object('template_name', n.template_key)
                    || headrace.counters_json(n.total, n.sent, n.delivered, n.read, n.replied, n.failed, n.failed_queue)
                    ORDER BY n.template_key COLLATE "C"), '[]') AS template_stats
            FROM (
                SELECT s.*, headrace.listed_template(s.template_name, s.template_md5) AS template_key
                FROM (
                    SELECT s.* FROM headrace.campaign_template_stats s WHERE s.campaign_id = k.id
                    ORDER BY s.total DESC, s.template_md5 LIMIT headrace.most_listed_templates()
                ) s
                OFFSET 0
            ) n
        ) l
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
    UPDATE headrace.campaign c SET document_due_at = NULL WHERE c.campaign_id = ANY (p_campaigns) AND c.document_due_at IS NOT NULL;
    RETURN v_written;
END
$$;
