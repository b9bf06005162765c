-- purpose: decides amendments that wait: recounts the frozen campaign, or discards the amendment
-- grain:   the campaigns named; how many amendments were decided. p_accept false: they are discarded, and the frozen numbers stand
-- reads:   stg_campaigns, headrace.campaign_stats_pending_amendment, and what amend_campaign and rebuild_campaign_stats read
-- writes:  what amend_campaign and, for a reopened campaign, rebuild_campaign_stats write; otherwise campaign_stats_pending_amendment, campaign
-- locks:   the campaigns' own rows, in id order, before the source is read
CREATE OR REPLACE FUNCTION headrace.amend_campaigns(p_campaigns uuid[], p_accept boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_campaign uuid;
    v_status text;  -- null: the source has no such campaign
    v_decided bigint := 0;
BEGIN
    IF p_accept IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE =
            'p_accept is null: say true to count the rows that are left, or false to let the frozen numbers stand';
    END IF;
    PERFORM headrace.lock_campaigns(
        ARRAY(SELECT p.campaign_id FROM headrace.campaign_stats_pending_amendment p WHERE p.campaign_id = ANY (p_campaigns)));
    FOR v_campaign, v_status IN
        SELECT p.campaign_id, CASE WHEN c.campaign_id IS NOT NULL THEN coalesce(c.status, '') END
        FROM headrace.campaign_stats_pending_amendment p LEFT JOIN headrace.stg_campaigns() c ON c.campaign_id = p.campaign_id
        WHERE p.campaign_id = ANY (p_campaigns) ORDER BY p.campaign_id
    LOOP
        IF p_accept AND v_status IS NOT NULL THEN
            PERFORM headrace.amend_campaign(v_campaign, v_status, true, false);
            PERFORM headrace.rebuild_campaign_stats(ARRAY[v_campaign])
            FROM headrace.campaign k WHERE k.campaign_id = v_campaign AND k.state = 'live';
        ELSE
            DELETE FROM headrace.campaign_stats_pending_amendment p WHERE p.campaign_id = v_campaign;
            UPDATE headrace.campaign k SET late_messages = NULL WHERE k.campaign_id = v_campaign;
        END IF;
        v_decided := v_decided + 1;
    END LOOP;
    RETURN v_decided;
END
$$;
