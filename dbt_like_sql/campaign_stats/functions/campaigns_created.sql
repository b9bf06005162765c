-- purpose: the application's campaigns created in [p_from, p_to), null: unbounded; for workers and Dagster, which may not read its tables
-- grain:   one row per campaign; day: the UTC day of its creation
-- reads:   stg_campaigns
-- writes:  nothing
-- locks:   none
--
-- Planned at each call, so that the planner knows how long the range is.
CREATE OR REPLACE FUNCTION headrace.campaigns_created(p_from timestamptz DEFAULT NULL, p_to timestamptz DEFAULT NULL)
RETURNS TABLE (campaign_id uuid, name text, status text, created_at timestamptz, completed_at timestamptz, day date)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT c.campaign_id, c.name, c.status, c.created_at, c.completed_at, headrace.calendar_day(c.created_at)
    FROM headrace.stg_campaigns() c
    WHERE (p_from IS NULL OR c.created_at >= p_from) AND (p_to IS NULL OR c.created_at < p_to);
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
    RAISE;
END
$$;
