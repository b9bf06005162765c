-- purpose: a campaign's statistics for display, with their source and age
-- grain:   one document; null if there is no such campaign
-- reads:   stg_campaigns, readable_campaigns, headrace.campaign, headrace.campaign_computed_stats; live_stats if none is computed yet
-- writes:  nothing
-- locks:   none
--
-- If the application has altered table campaigns so that it cannot be read, the stored document is served with the reason (paused) and
-- the columns that are left. If nothing is stored, the reason is raised as an error.
CREATE OR REPLACE FUNCTION headrace.campaign_stats(p_campaign_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_facts jsonb;
    v_status text;
    v_state text;
    v_paused text;
    v_more jsonb := '{}';
    d headrace.campaign_computed_stats;
BEGIN
    BEGIN
        SELECT
            c.status, k.state,
            jsonb_build_object(
                'campaign_id', c.campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
        INTO v_status, v_state, v_facts
        FROM headrace.stg_campaigns() c LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
        WHERE c.campaign_id = p_campaign_id;
    EXCEPTION WHEN OTHERS THEN
        v_paused := headrace.unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
        IF v_paused IS NULL THEN
            RAISE;
        END IF;
    END;
    IF v_paused IS NOT NULL THEN
        v_more := jsonb_build_object('paused', v_paused);
        SELECT
            c.status, k.state,
            jsonb_build_object(
                'campaign_id', p_campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
        INTO v_status, v_state, v_facts
        FROM (SELECT p_campaign_id AS id) i
        LEFT JOIN headrace.readable_campaigns(ARRAY[p_campaign_id]) c ON c.campaign_id = i.id
        LEFT JOIN headrace.campaign k ON k.campaign_id = i.id
        WHERE c.campaign_id IS NOT NULL
            -- nobody can tell whether there is such a campaign
            OR EXISTS (SELECT FROM headrace.source_problems(ARRAY['campaigns']) p WHERE coalesce(p.column_name, 'id') = 'id');
    END IF;
    IF v_facts IS NULL THEN
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id AND s.frozen_at IS NOT NULL;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        RETURN headrace.document_json(d.facts, d) || v_more;
    END IF;
    IF v_state IN ('live', 'settling', 'frozen', 'amended') AND (v_state IN ('frozen', 'amended') OR coalesce(v_status, '') NOT IN ('scheduled', 'failed')) THEN
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id;
        IF FOUND AND v_paused IS NULL THEN
            RETURN headrace.document_json(v_facts, d);
        ELSIF FOUND THEN
            -- Present facts about the campaign take precedence over those from its freeze.
            RETURN headrace.document_json(v_facts || coalesce(d.facts, '{}') || jsonb_strip_nulls(v_facts), d) || v_more;
        END IF;
    END IF;
    IF v_status IN ('scheduled', 'failed') THEN
        RETURN v_facts || jsonb_build_object(
            'source', 'none', 'state', NULL, 'version', NULL, 'computed_at', NULL, 'age_seconds', NULL, 'frozen_at', NULL, 'deleted_at', NULL,
            'totals', NULL, 'template_stats', NULL) || v_more;
    END IF;
    IF v_paused IS NOT NULL THEN
        RAISE EXCEPTION '%', v_paused USING ERRCODE = 'HR001';
    END IF;
    BEGIN
        RETURN v_facts || jsonb_build_object(
            'source', 'live', 'state', 'live', 'version', NULL, 'computed_at', clock_timestamp(), 'age_seconds', 0,
            'frozen_at', NULL, 'deleted_at', NULL
        ) || headrace.live_stats(p_campaign_id);
    EXCEPTION WHEN OTHERS THEN
        PERFORM headrace.raise_unreadable(NULL, SQLSTATE, SQLERRM);
        RAISE;
    END;
END
$$;
