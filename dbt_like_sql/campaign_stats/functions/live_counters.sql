-- purpose: a campaign's counters by template, counted from the source rows now
-- grain:   one row per template that has messages; none if there is no such campaign
-- reads:   message_outcome_live
-- writes:  nothing
-- locks:   none
--
-- Counted in two steps: messages per outcome, which are few groups, then counters from these.
CREATE OR REPLACE FUNCTION headrace.live_counters(p_campaign_id uuid)
RETURNS TABLE (
    template_name text, total bigint, sent bigint, delivered bigint, read bigint, replied bigint, failed bigint, failed_queue bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        b.template_name, sum(b.messages)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 1 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 2 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 4 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 32 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 8 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 16 > 0), 0)::bigint
    FROM (
        SELECT o.template_name, o.bits, count(*) AS messages
        FROM headrace.message_outcome_live() o
        WHERE o.campaign_id = p_campaign_id
        GROUP BY o.template_name, o.bits
    ) b
    GROUP BY b.template_name;
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(NULL, SQLSTATE, SQLERRM);
    RAISE;
END
$$;
