-- purpose: how many campaigns are due to be rebuilt, amended or frozen now, and the first and last UTC day on which they were created
-- grain:   one row; days are null if none of them has one
-- reads:   headrace.campaign_standing, stg_campaigns
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.rebuild_days(OUT campaigns bigint, OUT first_day date, OUT last_day date)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
    SELECT count(*), min(headrace.calendar_day(c.created_at)), max(headrace.calendar_day(c.created_at))
    FROM headrace.campaign_standing s
    LEFT JOIN headrace.stg_campaigns() c ON c.campaign_id = s.campaign_id
    WHERE s.due AND NOT s.put_off
$$;
