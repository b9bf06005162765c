-- purpose: final days: days with activity, minus the days of campaigns not yet frozen
-- grain:   one row per final UTC day from p_first to p_last
-- reads:   headrace.activity, headrace.campaign_standing, stg_campaigns
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.final_days(p_assets text[], p_first date, p_last date) RETURNS SETOF date
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
    SELECT a.partition_day FROM headrace.activity a
    WHERE a.asset = ANY (p_assets) AND a.partition_day BETWEEN p_first AND p_last
    EXCEPT
    SELECT headrace.calendar_day(c.created_at)
    FROM headrace.campaign_standing s
    INNER JOIN headrace.stg_campaigns() c ON c.campaign_id = s.campaign_id
    WHERE NOT s.final
$$;
