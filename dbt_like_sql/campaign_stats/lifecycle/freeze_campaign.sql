-- purpose: freezes a campaign that was rebuilt in this transaction: its document stands from now on, its per-message state goes
-- grain:   one campaign; false: the source has it no more. p_status: with which it had settled; null: frozen by hand, whatever its status
-- reads:   stg_campaigns, source_row_counts
-- writes:  what enter_state writes, message_outcome, campaign_latency, activity, and what pack_hours writes
-- locks:   the campaign's own row: the caller holds it since before the rebuild
CREATE OR REPLACE FUNCTION headrace.freeze_campaign(p_campaign_id uuid, p_status text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_facts jsonb;
BEGIN
    SELECT jsonb_build_object(
        'campaign_id', c.campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
    INTO v_facts FROM headrace.stg_campaigns() c WHERE c.campaign_id = p_campaign_id;
    IF NOT FOUND THEN
        RETURN false;  -- deleted since it was counted: a change of its own, which asks for a rebuild
    END IF;
    PERFORM headrace.enter_state(
        ARRAY[p_campaign_id], ARRAY['frozen'], coalesce(p_status, v_facts ->> 'status', ''), v_facts, headrace.source_row_counts(p_campaign_id));
    DELETE FROM headrace.message_outcome o WHERE o.campaign_id = p_campaign_id;
    DELETE FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id;
    PERFORM headrace.pack_hours(p_campaign_id);
    PERFORM headrace.touch_day(p_campaign_id, ARRAY['campaign_computed_stats']);
    RETURN true;
END
$$;
