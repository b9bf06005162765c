-- purpose: the application's campaigns by id; for workers and Dagster, which may not read its tables
-- grain:   one row per named campaign that exists; day: the UTC day of its creation
-- reads:   stg_campaigns
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.campaigns_named(p_campaigns uuid[])
RETURNS TABLE (campaign_id uuid, name text, status text, created_at timestamptz, completed_at timestamptz, day date)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT c.campaign_id, c.name, c.status, c.created_at, c.completed_at, headrace.calendar_day(c.created_at)
    FROM headrace.stg_campaigns() c WHERE c.campaign_id = ANY (p_campaigns);
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
    RAISE;
END
$$;
