-- purpose: records that a campaign's day changed, so that it is reported
-- grain:   one campaign, by the UTC day of its creation; does nothing if the source no longer has it
-- reads:   stg_campaigns
-- writes:  what record_activity writes
-- locks:   the day's rows of headrace.activity
CREATE OR REPLACE FUNCTION headrace.touch_day(p_campaign_id uuid, p_assets text[], p_rows bigint DEFAULT 1) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT headrace.record_activity(p_assets, ARRAY[(c.created_at AT TIME ZONE 'UTC')::date], ARRAY[p_rows])
    FROM headrace.stg_campaigns() c
    WHERE c.campaign_id = p_campaign_id AND c.created_at >= '0001-01-02 UTC' AND c.created_at < '9999-12-31 UTC'
$$;
