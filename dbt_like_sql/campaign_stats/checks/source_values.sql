-- purpose: the values of a source table's status column (of messages: direction), and which of them Headrace knows
-- grain:   one row per value, the most frequent first; with the id of an example row if the value is unknown
-- reads:   stg_campaigns, stg_send_queue, stg_message_status_logs or {{ source }}.messages, whichever is named
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.source_values(p_table text)
RETURNS TABLE (value text, known boolean, row_count bigint, example text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
    SELECT v.value, v.known, count(*), min(v.id::text) FILTER (WHERE NOT v.known)
    FROM (
        SELECT l.status AS value, l.status IS NOT NULL AND headrace.status_bits(l.status) > 0 AS known, l.id::text AS id
        FROM headrace.stg_message_status_logs() l WHERE p_table = 'message_status_logs'
        UNION ALL
        SELECT q.status, coalesce(q.status IN ('queued', 'sent', 'failed'), false), q.id::text
        FROM headrace.stg_send_queue() q WHERE p_table = 'send_queue'
        UNION ALL
        SELECT m.direction::text, coalesce(m.direction::text IN ('incoming', 'outgoing'), false), m.id::text
        FROM {{ source }}.messages m WHERE p_table = 'messages' AND headrace.source_holds('messages')
        UNION ALL
        SELECT c.status, coalesce(c.status IN ('draft', 'scheduled', 'running', 'paused', 'completed', 'failed'), false), c.campaign_id::text
        FROM headrace.stg_campaigns() c WHERE p_table = 'campaigns'
    ) v
    GROUP BY v.value, v.known
    ORDER BY 3 DESC, 1
$$;
