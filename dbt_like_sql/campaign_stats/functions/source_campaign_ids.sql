-- purpose: the ids of all campaigns, for campaign_template_stats_live, whose readers have no right on the application's tables
-- grain:   one id per campaign
-- reads:   stg_campaigns
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.source_campaign_ids() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT c.campaign_id FROM headrace.stg_campaigns() c;
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
    RAISE;
END
$$;
