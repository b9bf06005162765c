-- purpose: provider statuses of messages without a queue row; not recent ones, because a status may arrive before the sender stores the id
-- grain:   one row per status value: how many there are, how many of them are orphaned, oldest and newest of these, and examples
-- reads:   stg_message_status_logs, stg_send_queue, {{ source }}.messages
-- writes:  nothing
-- locks:   none
--
-- in_messages: orphaned statuses whose message is in table messages. If the application also sends messages outside of campaigns,
-- these are no fault; otherwise they are messages whose id the sender did not store.
CREATE OR REPLACE FUNCTION headrace.orphaned_statuses(p_older_than interval, p_examples integer DEFAULT 5)
RETURNS TABLE (
    status text, statuses bigint, orphaned bigint, in_messages bigint, oldest timestamptz, newest timestamptz, examples text[]
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
SET enable_nestloop = off -- orphans are few or nearly all, which no estimate predicts: a nested loop took minutes
AS $$
    WITH orphan AS MATERIALIZED (
        SELECT l.id::text AS id, l.whatsapp_message_id, l.status, l.created_at
        FROM headrace.stg_message_status_logs() l
        WHERE (l.created_at < now() - p_older_than) IS NOT FALSE
            AND NOT EXISTS (SELECT FROM headrace.stg_send_queue() q WHERE q.whatsapp_message_id = l.whatsapp_message_id AND q.whatsapp_message_id <> '')
    ), placed AS (
        SELECT
            o.id, o.status, o.created_at,
            {{ optional('messages', 'whatsapp_message_id', 'm.id IS NOT NULL', 'false') }} AS in_messages,
            row_number() OVER (PARTITION BY o.status ORDER BY o.created_at DESC NULLS LAST, o.id DESC) AS place
        FROM orphan o
        {{ optional('messages', 'whatsapp_message_id', 'LEFT JOIN (SELECT DISTINCT x.whatsapp_message_id::text AS id FROM ' + source + ".messages x WHERE x.whatsapp_message_id <> '' AND headrace.source_holds('messages others')) m ON m.id = o.whatsapp_message_id", '') }}
    )
    SELECT
        a.status, a.statuses, coalesce(p.orphaned, 0), coalesce(p.in_messages, 0), p.oldest, p.newest, coalesce(p.examples, '{}')
    FROM (
        SELECT l.status, count(*) AS statuses FROM headrace.stg_message_status_logs() l
        WHERE (l.created_at < now() - p_older_than) IS NOT FALSE GROUP BY l.status
    ) a
    LEFT JOIN (
        SELECT
            o.status, count(*) AS orphaned, count(*) FILTER (WHERE o.in_messages) AS in_messages,
            min(o.created_at) AS oldest, max(o.created_at) AS newest,
            array_agg(o.id ORDER BY o.place) FILTER (WHERE o.place <= least(p_examples, 1000)) AS examples
        FROM placed o GROUP BY o.status
    ) p ON p.status IS NOT DISTINCT FROM a.status
    ORDER BY 3 DESC, 1
$$;
