-- purpose: the part of rebuild_campaign_stats for a frozen campaign: it is deleted in the source, amended, or reopened by the application
-- grain:   one campaign; how many counters were wrong; null if it is not recounted: the source has deleted it or has fewer of its rows
-- reads:   stg_campaigns, and what settle_campaigns and amend_campaign read
-- writes:  headrace.campaign, campaign_computed_stats, campaign_stats_pending_amendment, and what settle_campaigns and amend_campaign write
-- locks:   the campaign's own row: the caller holds it
CREATE OR REPLACE FUNCTION headrace.rebuild_frozen(p_campaign_id uuid) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_status text;  -- null: the source has no such campaign
    v_wrong bigint;
BEGIN
    -- Before the source rows are read: a campaign that appears or disappears later brings its own change, which requests a rebuild.
    SELECT coalesce(c.status, '') INTO v_status FROM headrace.stg_campaigns() c WHERE c.campaign_id = p_campaign_id;
    PERFORM headrace.settle_campaigns(ARRAY[p_campaign_id], false);
    IF v_status IS NULL THEN
        UPDATE headrace.campaign_computed_stats d SET deleted_at = clock_timestamp()
        WHERE d.campaign_id = p_campaign_id AND d.deleted_at IS NULL;
        DELETE FROM headrace.campaign_stats_pending_amendment p WHERE p.campaign_id = p_campaign_id;
        UPDATE headrace.campaign c SET rebuild_requested_at = NULL, late_messages = NULL WHERE c.campaign_id = p_campaign_id;
        RETURN NULL;
    END IF;
    UPDATE headrace.campaign_computed_stats d SET deleted_at = NULL
    WHERE d.campaign_id = p_campaign_id AND d.deleted_at IS NOT NULL;
    v_wrong := headrace.amend_campaign(p_campaign_id, v_status, false, false);
    UPDATE headrace.campaign c SET
        rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(),
        rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
    WHERE c.campaign_id = p_campaign_id AND c.state IN ('frozen', 'amended') AND v_wrong IS NOT NULL;
    RETURN v_wrong;
END
$$;
