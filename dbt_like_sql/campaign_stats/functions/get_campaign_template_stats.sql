-- purpose: replaces the seed's function, with the same name and columns and correct counts: one campaign, recomputed live
-- grain:   one row per template of the campaign
-- reads:   live_counters
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.get_campaign_template_stats(p_campaign_id uuid)
RETURNS TABLE (template_name text, total bigint, sent bigint, delivered bigint, read bigint, replied bigint, failed bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT s.template_name, s.total, s.sent, s.delivered, s.read, s.replied, s.failed
    FROM headrace.live_counters(p_campaign_id) s
    ORDER BY s.template_name
$$;
