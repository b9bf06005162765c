-- purpose: counts campaigns that are frozen in the same transaction, without storing their messages' outcomes
-- grain:   the campaigns named, none with stored outcomes; how many messages they have. p_large: a single one, counted in one pass over its rows
-- reads:   stg_send_queue, stg_campaigns, campaign_template_stats, and what count_messages and store_counts read
-- writes:  what store_counts writes, activity
-- locks:   the campaigns' own rows: the caller holds them
CREATE OR REPLACE FUNCTION headrace.count_straight(p_campaigns uuid[], p_large boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_outcomes headrace.outcome_change[];
    v_twice boolean;
    v_messages bigint;
BEGIN
    IF p_large THEN
        v_twice := (SELECT count(*) > count(DISTINCT q.id) FROM headrace.stg_send_queue() q WHERE q.campaign_id = p_campaigns[1]);
    ELSE
        v_outcomes := headrace.count_messages(p_campaigns);
        v_twice := cardinality(v_outcomes) > (SELECT count(DISTINCT o.message_id) FROM unnest(v_outcomes) o);
    END IF;
    IF v_twice THEN
        RAISE EXCEPTION 'send_queue holds rows with the same id' USING ERRCODE = 'unique_violation';
    END IF;
    PERFORM headrace.store_counts(p_campaigns, p_large, v_outcomes);
    SELECT sum(s.total) INTO v_messages FROM headrace.campaign_template_stats s WHERE s.campaign_id = ANY (p_campaigns);
    IF v_messages > 0 THEN
        PERFORM headrace.record_activity(
            ARRAY['campaign_template_stats', 'campaign_computed_stats'], array_agg(a.day), array_agg(a.messages))
        FROM (
            SELECT headrace.calendar_day(c.created_at) AS day, sum(s.total)::bigint AS messages
            FROM headrace.campaign_template_stats s INNER JOIN headrace.stg_campaigns() c ON c.campaign_id = s.campaign_id
            WHERE s.campaign_id = ANY (p_campaigns) AND headrace.calendar_day(c.created_at) IS NOT NULL
            GROUP BY 1
        ) a;
    END IF;
    RETURN coalesce(v_messages, 0);
END
$$;
