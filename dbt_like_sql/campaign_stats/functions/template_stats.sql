-- purpose: stored counters of templates, summed over the campaigns created in [p_from, p_to)
-- grain:   one row per template, or a row of zeros if nothing is counted; pending: campaigns of the range that are not counted yet
-- reads:   stg_campaigns, headrace.campaign, headrace.campaign_template_stats
-- writes:  nothing
-- locks:   none
--
-- Planned at each call, so that the planner knows how long the range is, and whether one template is asked for.
CREATE OR REPLACE FUNCTION headrace.template_stats(
    p_template_name text DEFAULT NULL, p_from timestamptz DEFAULT NULL, p_to timestamptz DEFAULT NULL
) RETURNS TABLE (
    template_name text, campaigns bigint, total bigint, sent bigint, delivered bigint, read bigint, replied bigint, failed bigint,
    failed_queue bigint, failed_delivery bigint, delivered_rate numeric, read_rate numeric, replied_rate numeric, pending bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 1.1
SET jit = off
AS $$
BEGIN
    IF p_from > p_to THEN
        RAISE EXCEPTION 'p_from (%) is after p_to (%)', p_from, p_to USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    SELECT
        coalesce(t.template_name, p_template_name), coalesce(t.campaigns, 0),
        coalesce(t.total, 0), coalesce(t.sent, 0), coalesce(t.delivered, 0), coalesce(t.read, 0), coalesce(t.replied, 0),
        coalesce(t.failed, 0), coalesce(t.failed_queue, 0), coalesce(t.failed - t.failed_queue, 0),
        round(t.delivered::numeric / nullif(t.sent, 0), 6), round(t.read::numeric / nullif(t.delivered, 0), 6),
        round(t.replied::numeric / nullif(t.delivered, 0), 6), w.pending
    FROM (
        SELECT count(*) AS pending FROM headrace.stg_campaigns() c LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
        WHERE (p_from IS NULL OR c.created_at >= p_from) AND (p_to IS NULL OR c.created_at < p_to)
            AND coalesce(k.state, 'pending') NOT IN ('live', 'settling', 'frozen', 'amended')
    ) w
    LEFT JOIN (
        SELECT
            s.template_name, count(*) AS campaigns, sum(s.total)::bigint AS total, sum(s.sent)::bigint AS sent, sum(s.delivered)::bigint AS delivered,
            sum(s.read)::bigint AS read, sum(s.replied)::bigint AS replied, sum(s.failed)::bigint AS failed, sum(s.failed_queue)::bigint AS failed_queue
        FROM headrace.stg_campaigns() c
        INNER JOIN headrace.campaign k ON k.campaign_id = c.campaign_id AND k.state IN ('live', 'settling', 'frozen', 'amended')
        INNER JOIN headrace.campaign_template_stats s ON s.campaign_id = c.campaign_id
        WHERE (p_from IS NULL OR c.created_at >= p_from) AND (p_to IS NULL OR c.created_at < p_to)
            AND (p_template_name IS NULL OR s.template_name = p_template_name)
        GROUP BY s.template_name
    ) t ON true
    ORDER BY t.template_name COLLATE "C";
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
    RAISE;
END
$$;
