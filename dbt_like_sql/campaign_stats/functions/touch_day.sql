-- purpose: marks a campaign's day as changed, so that it is reported
-- grain:   one campaign, by the UTC day of its creation; nothing for a campaign the source no longer has
-- reads:   stg_campaigns
-- writes:  headrace.activity, by record_activity
-- locks:   the day's rows there
CREATE OR REPLACE FUNCTION headrace.touch_day(p_campaign_id uuid, p_assets text[], p_rows bigint DEFAULT 1) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT headrace.record_activity(p_assets, ARRAY[(c.created_at AT TIME ZONE 'UTC')::date], ARRAY[p_rows])
    FROM headrace.stg_campaigns() c
    WHERE c.campaign_id = p_campaign_id AND c.created_at >= '0001-01-02 UTC' AND c.created_at < '9999-12-31 UTC'
$$;
