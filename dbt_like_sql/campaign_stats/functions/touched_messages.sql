-- purpose: which messages may count differently after these changes (design 3.1, "Touched also are")
-- grain:   send_queue ids as text, each once
-- reads:   stg_send_queue, stg_message_status_logs, by the contract's indexes
-- writes:  nothing
-- locks:   none
--
-- A change that moves where a reply is attributed touches the message before it in the conversation: at the place it
-- left (from the change), and at the place it is at now. A status touches the predecessor only where the queue row does
-- not say sent: elsewhere the row had made it a campaign message already, by a change of its own.
CREATE OR REPLACE FUNCTION headrace.touched_messages(p_changes headrace.change_log[]) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_queue text[];
    v_status_ids text[];
    v_by_status text[];
    v_unsent text[];
    v_neighbours text[];
    v_owners text[];
    v_referred text[];
BEGIN
    SELECT array_agg(DISTINCT c.entity_id) INTO v_queue FROM unnest(p_changes) c WHERE c.source = 'send_queue' AND c.entity_id IS NOT NULL;

    SELECT array_agg(DISTINCT k.id) INTO v_status_ids
    FROM unnest(p_changes) c
    CROSS JOIN LATERAL (VALUES (c.data #>> '{old,whatsapp_message_id}'), (c.data #>> '{new,whatsapp_message_id}')) k (id)
    WHERE c.source = 'message_status_logs' AND k.id IS NOT NULL;
    IF v_status_ids IS NOT NULL THEN
        SELECT array_agg(q.id::text), array_agg(q.id::text) FILTER (WHERE q.status IS DISTINCT FROM 'sent')
        INTO v_by_status, v_unsent
        FROM unnest(v_status_ids) k (id) INNER JOIN headrace.stg_send_queue q ON q.whatsapp_message_id = k.id;
    END IF;

    IF v_queue IS NOT NULL OR v_unsent IS NOT NULL THEN
        SELECT array_agg(DISTINCT p.id) INTO v_neighbours
        FROM (
            SELECT q.user_phone, q.whatsapp_number_id, q.at, q.id
            FROM unnest(v_queue || v_unsent) k (id) INNER JOIN headrace.stg_send_queue q ON q.id = k.id::{{ type('send_queue', 'id') }}
            UNION
            SELECT
                c.data #>> '{old,user_phone}', c.data #>> '{old,whatsapp_number_id}',
                coalesce(c.data #>> '{old,sent_at}', c.data #>> '{old,created_at}')::timestamptz, c.entity_id::{{ type('send_queue', 'id') }}
            FROM unnest(p_changes) c WHERE c.source = 'send_queue' AND c.data ? 'old'
        ) place
        CROSS JOIN LATERAL (
            SELECT n.id::text AS id FROM headrace.stg_send_queue n
            WHERE n.user_phone = place.user_phone AND n.whatsapp_number_id = place.whatsapp_number_id
                AND (n.at, n.id) < (place.at, place.id)
                AND (n.status = 'sent' OR EXISTS (
                    SELECT FROM headrace.stg_message_status_logs l
                    WHERE l.whatsapp_message_id = n.whatsapp_message_id AND headrace.status_bits(l.status) & 1 > 0))
            ORDER BY n.at DESC, n.id DESC LIMIT 1
        ) p;
    END IF;

    SELECT array_agg(DISTINCT o.id) INTO v_owners
    FROM (
        SELECT DISTINCT k.phone, k.number, k.at
        FROM unnest(p_changes) c
        CROSS JOIN LATERAL (VALUES
            (c.data #>> '{old,user_phone}', c.data #>> '{old,whatsapp_number_id}', (c.data #>> '{old,created_at}')::timestamptz),
            (c.data #>> '{new,user_phone}', c.data #>> '{new,whatsapp_number_id}', (c.data #>> '{new,created_at}')::timestamptz)
        ) k (phone, number, at)
        WHERE c.source = 'messages' AND k.at IS NOT NULL
    ) m
    CROSS JOIN LATERAL (
        SELECT n.id::text AS id FROM headrace.stg_send_queue n
        WHERE n.user_phone = m.phone AND n.whatsapp_number_id = m.number AND n.at < m.at
            AND (n.status = 'sent' OR EXISTS (
                SELECT FROM headrace.stg_message_status_logs l
                WHERE l.whatsapp_message_id = n.whatsapp_message_id AND headrace.status_bits(l.status) & 1 > 0))
        ORDER BY n.at DESC, n.id DESC LIMIT 1
    ) o;

    SELECT array_agg(DISTINCT q.id::text) INTO v_referred
    FROM unnest(p_changes) c
    CROSS JOIN LATERAL (VALUES (c.data #>> '{old,context_message_id}'), (c.data #>> '{new,context_message_id}')) k (id)
    INNER JOIN headrace.stg_send_queue q ON q.whatsapp_message_id = k.id
    WHERE c.source = 'messages';

    RETURN ARRAY(SELECT DISTINCT u FROM unnest(v_queue || v_by_status || v_neighbours || v_owners || v_referred) u);
END
$$;
