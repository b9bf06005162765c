-- purpose: asks for the amendment of frozen campaigns that something late happened to
-- grain:   the campaigns of these messages that are frozen or amended
-- reads:   nothing
-- writes:  headrace.campaign
-- locks:   the campaigns' own rows: the caller holds them
CREATE OR REPLACE FUNCTION headrace.request_amendments(p_campaigns uuid[], p_messages text[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    UPDATE headrace.campaign c SET
        rebuild_requested_at = coalesce(c.rebuild_requested_at, clock_timestamp()), rebuild_not_before = NULL,
        -- some of them, to be named in the amendment
        late_messages = ARRAY(SELECT DISTINCT m FROM unnest(c.late_messages || k.messages) m ORDER BY m LIMIT 20)
    FROM (
        SELECT u.campaign, array_agg(DISTINCT u.message) AS messages
        FROM unnest(p_campaigns, p_messages) u (campaign, message) GROUP BY u.campaign
    ) k
    WHERE c.campaign_id = k.campaign AND c.state IN ('frozen', 'amended')
$$;
