-- purpose: queues campaigns for a rebuild; null: all of them
-- grain:   the campaigns named; how many were queued
-- reads:   stg_campaigns, headrace.campaign
-- writes:  headrace.campaign
-- locks:   the campaigns' own rows, in id order
CREATE OR REPLACE FUNCTION headrace.request_rebuild(p_campaigns uuid[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_campaigns constant uuid[] := coalesce(
        p_campaigns, ARRAY(SELECT campaign_id FROM headrace.stg_campaigns() UNION SELECT campaign_id FROM headrace.campaign WHERE state <> 'deleted'));
    v_count bigint;
BEGIN
    PERFORM headrace.lock_campaigns(v_campaigns);
    UPDATE headrace.campaign c SET rebuild_requested_at = clock_timestamp(), rebuild_not_before = NULL
    FROM (SELECT DISTINCT id FROM unnest(v_campaigns) id) u WHERE c.campaign_id = u.id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
