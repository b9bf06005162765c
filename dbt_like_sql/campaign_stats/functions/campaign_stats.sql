-- purpose: what an application shows of a campaign: its statistics, where they come from and how old they are
-- grain:   one document; null for a campaign that does not exist
-- reads:   stg_campaigns, headrace.campaign, headrace.campaign_computed_stats; live_stats where none is computed yet
-- writes:  nothing
-- locks:   none
--
-- Where the application's columns cannot be read as migrate saw them, a stored document is served all the same, with its age and
-- with why nothing newer comes (key paused); where there is none, that is the error.
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
    v_why text;
BEGIN
    BEGIN
        SELECT
            c.status, k.state,
            jsonb_build_object(
                'campaign_id', c.campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
        INTO v_status, v_state, v_facts
        FROM headrace.stg_campaigns() c LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
        WHERE c.campaign_id = p_campaign_id;
    EXCEPTION WHEN SQLSTATE 'HR001' OR undefined_column OR undefined_table OR undefined_function OR datatype_mismatch OR insufficient_privilege THEN
        SELECT p.what || '; run: ' || p.remedy INTO v_why FROM headrace.source_problems(ARRAY['campaigns']) p LIMIT 1;
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id;
        IF NOT FOUND OR v_why IS NULL THEN
            RAISE;
        END IF;
        RETURN headrace.document_json(
            coalesce(d.facts, jsonb_build_object('campaign_id', p_campaign_id, 'name', NULL, 'status', NULL, 'created_at', NULL, 'completed_at', NULL)), d)
            || jsonb_build_object('paused', v_why);
    END;
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
