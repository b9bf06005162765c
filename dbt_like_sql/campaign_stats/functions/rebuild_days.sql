-- purpose: for the sensor: how many campaigns are to be rebuilt or frozen now, and the UTC days of their creation
-- grain:   one row; days null where none of them has one
-- reads:   headrace.campaign, stg_campaigns
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.rebuild_days(OUT campaigns bigint, OUT first_day date, OUT last_day date)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
    SELECT count(*), min(headrace.calendar_day(c.created_at)), max(headrace.calendar_day(c.created_at))
    FROM headrace.campaign k
    LEFT JOIN headrace.stg_campaigns() c ON c.campaign_id = k.campaign_id
    WHERE (k.rebuild_requested_at IS NOT NULL OR k.state = 'settling' AND k.settles_until <= clock_timestamp())
        AND (k.rebuild_not_before IS NULL OR k.rebuild_not_before <= clock_timestamp())
$$;
