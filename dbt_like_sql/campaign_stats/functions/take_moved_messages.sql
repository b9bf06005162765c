-- purpose: removes outcomes of messages that moved to this campaign from the campaigns that still count them
-- grain:   one campaign
-- reads:   stg_send_queue, headrace.message_outcome
-- writes:  headrace.message_outcome, and what store_counts and refresh_documents write about the campaigns that messages moved from
-- locks:   the own rows of the campaigns that messages moved from, in id order
CREATE OR REPLACE FUNCTION headrace.take_moved_messages(p_campaign_id uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_held constant uuid[] := ARRAY(
        SELECT DISTINCT o.campaign_id FROM headrace.stg_send_queue() q INNER JOIN headrace.message_outcome o ON o.message_id = q.id::text
        WHERE q.campaign_id = p_campaign_id AND o.campaign_id <> p_campaign_id);
BEGIN
    PERFORM headrace.lock_campaigns(v_held);
    DELETE FROM headrace.message_outcome o USING headrace.stg_send_queue() q
    WHERE q.campaign_id = p_campaign_id AND o.message_id = q.id::text AND o.campaign_id <> p_campaign_id AND o.campaign_id = ANY (v_held);
    PERFORM headrace.store_counts(v_held, false);
    PERFORM headrace.refresh_documents(v_held);
END
$$;
