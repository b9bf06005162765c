-- purpose: queues campaigns that Headrace does not have yet for their first count, newest first
-- grain:   one call; how many were queued
-- reads:   stg_campaigns, headrace.campaign
-- writes:  headrace.campaign
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.queue_new_campaigns() RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH queued AS (
        INSERT INTO headrace.campaign (campaign_id, rebuild_requested_at)
        SELECT s.campaign_id, clock_timestamp() FROM headrace.stg_campaigns() s
        WHERE NOT EXISTS (SELECT FROM headrace.campaign c WHERE c.campaign_id = s.campaign_id)
        ORDER BY s.created_at DESC
        ON CONFLICT (campaign_id) DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM queued
$$;
