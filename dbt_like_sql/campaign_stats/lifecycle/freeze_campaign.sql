-- purpose: freezes a campaign that was rebuilt in this transaction: its document is final from now on, its per-message data is deleted
-- grain:   one campaign; false if the source no longer has it. p_status: the status it settled with; null: frozen by hand, whatever its status
-- reads:   stg_campaigns, source_row_counts
-- writes:  message_outcome, campaign_latency, and what enter_state, pack_hours and touch_day write
-- locks:   the campaign's own row: the caller has held it since before the rebuild
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
        RETURN false;  -- deleted since it was counted: that change will request a rebuild
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
