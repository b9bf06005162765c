-- purpose: what an application shows of a campaign: its statistics, where they come from and how old they are
-- grain:   one document; null for a campaign that does not exist
-- reads:   stg_campaigns, headrace.campaign, headrace.campaign_computed_stats; live_stats where none is computed yet
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
    FROM headrace.stg_campaigns() c LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
    WHERE c.campaign_id = p_campaign_id;
    IF NOT FOUND THEN
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id AND s.frozen_at IS NOT NULL;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        RETURN headrace.document_json(d.facts, d);
    END IF;
    IF v_state IN ('live', 'settling', 'frozen', 'amended') AND (v_state IN ('frozen', 'amended') OR coalesce(v_status, '') NOT IN ('scheduled', 'failed')) THEN
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id;
        IF FOUND THEN
            RETURN headrace.document_json(v_facts, d);
        END IF;
    END IF;
    IF v_status IN ('scheduled', 'failed') THEN
        RETURN v_facts || jsonb_build_object(
            'source', 'none', 'state', NULL, 'version', NULL, 'computed_at', NULL, 'age_seconds', NULL, 'frozen_at', NULL, 'deleted_at', NULL,
            'totals', NULL, 'template_stats', NULL);
    END IF;
    RETURN v_facts || jsonb_build_object(
        'source', 'live', 'state', 'live', 'version', NULL, 'computed_at', clock_timestamp(), 'age_seconds', 0, 'frozen_at', NULL, 'deleted_at', NULL
    ) || headrace.live_stats(p_campaign_id);
END
$$;
