-- purpose: the outcomes of small campaigns' messages, to be counted without being stored
-- grain:   one outcome per message, with null old_*; only for campaigns that are live or settling
-- reads:   stg_send_queue, and what outcomes_by_message reads
-- writes:  nothing
-- locks:   none: the caller holds the campaigns
--
-- A message that has moved to another campaign meanwhile is left out: its move is a separate change.
CREATE OR REPLACE FUNCTION headrace.count_messages(p_campaigns uuid[]) RETURNS headrace.outcome_change[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET random_page_cost = 1.1
SET jit = off
AS $$
DECLARE
    v_messages constant text[] := ARRAY(
        SELECT DISTINCT q.id::text COLLATE "C" FROM headrace.stg_send_queue() q WHERE q.campaign_id = ANY (p_campaigns) ORDER BY 1);
BEGIN
    RETURN ARRAY(
        SELECT ROW(
            d.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
        )::headrace.outcome_change
        FROM headrace.outcomes_by_message(v_messages) d WHERE d.new_campaign = ANY (p_campaigns));
END
$$;
