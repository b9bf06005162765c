-- purpose: what an application shows of a campaign: its statistics, where they come from and how old they are
-- grain:   one document; null for a campaign that does not exist
-- reads:   stg_campaigns, headrace.campaign, headrace.campaign_computed_stats; campaign_template_stats_live where none is computed yet
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.campaign_stats(p_campaign_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_facts jsonb;
    v_status text;
    v_state text;
    d headrace.campaign_computed_stats;
BEGIN
    SELECT
        c.status, k.state,
        jsonb_build_object(
            'campaign_id', c.campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
    INTO v_status, v_state, v_facts
    FROM headrace.stg_campaigns c LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
    WHERE c.campaign_id = p_campaign_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_status IN ('scheduled', 'failed') THEN
        RETURN v_facts || jsonb_build_object(
            'source', 'none', 'state', NULL, 'version', NULL, 'computed_at', NULL, 'age_seconds', NULL, 'totals', NULL, 'template_stats', NULL);
    END IF;
    IF v_state = 'live' THEN
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id;
        IF FOUND THEN
            RETURN v_facts || jsonb_build_object(
                'source', 'computed', 'state', d.state, 'version', d.version, 'computed_at', d.computed_at,
                'age_seconds', round(extract(EPOCH FROM clock_timestamp() - d.computed_at), 3),
                'totals', d.totals, 'template_stats', d.template_stats);
        END IF;
    END IF;
    RETURN v_facts || jsonb_build_object(
        'source', 'live', 'state', 'live', 'version', NULL, 'computed_at', clock_timestamp(), 'age_seconds', 0
    ) || (
        SELECT jsonb_build_object(
            'totals', headrace.counters_json(
                coalesce(sum(s.total), 0)::bigint, coalesce(sum(s.sent), 0)::bigint, coalesce(sum(s.delivered), 0)::bigint,
                coalesce(sum(s.read), 0)::bigint, coalesce(sum(s.replied), 0)::bigint, coalesce(sum(s.failed), 0)::bigint,
                coalesce(sum(s.failed_queue), 0)::bigint),
            'template_stats', coalesce(jsonb_agg(
                jsonb_build_object('template_name', s.template_name)
                || headrace.counters_json(s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)
                ORDER BY s.template_name COLLATE "C"), '[]'))
        FROM headrace.campaign_template_stats_live s WHERE s.campaign_id = p_campaign_id
    );
END
$$;
