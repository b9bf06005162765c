-- purpose: the other side of an incoming message, as a queue row addresses it: a phone, a group, or a user's id
-- grain:   one item of messages[], with the contacts[] beside it; null: it names nobody
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- Contacts with a username may hide their phone: then from is empty or missing, and from_user_id names them, or the contact beside the
-- message does. A message in a group belongs to the group's conversation, not to its writer's.
CREATE OR REPLACE FUNCTION headrace.webhook_sender(p_item jsonb, p_contacts jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN jsonb_typeof(p_item -> 'group_id') = 'string' AND p_item ->> 'group_id' <> '' THEN p_item ->> 'group_id'
        WHEN jsonb_typeof(p_item -> 'from') = 'string' AND p_item ->> 'from' <> '' THEN p_item ->> 'from'
        ELSE (
            SELECT s.name
            FROM (
                SELECT c.contact, count(*) OVER () AS contacts
                FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p_contacts) = 'array' THEN p_contacts ELSE '[]' END) c (contact)
                UNION ALL
                SELECT NULL, 0
            ) c
            CROSS JOIN LATERAL (VALUES
                (1, c.contact -> 'wa_id'), (2, p_item -> 'from_user_id'), (3, c.contact -> 'user_id'),
                (4, p_item -> 'from_parent_user_id'), (5, c.contact -> 'parent_user_id')
            ) v (rank, value)
            CROSS JOIN LATERAL (SELECT CASE WHEN jsonb_typeof(v.value) = 'string' THEN nullif(v.value #>> '{}', '') END AS name) s
            WHERE s.name IS NOT NULL AND (
                c.contact IS NULL OR c.contact -> 'user_id' = p_item -> 'from_user_id'
                OR (c.contacts = 1 AND NOT coalesce((p_item -> 'from_user_id') <> (c.contact -> 'user_id'), false)))
            ORDER BY v.rank LIMIT 1
        )
    END
$$;
