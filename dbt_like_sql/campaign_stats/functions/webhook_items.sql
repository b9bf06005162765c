-- purpose: takes a webhook body of the WhatsApp Cloud API apart: statuses, incoming messages, and what is neither
-- grain:   one row per item, in the order of the body; problem says why it cannot be taken, null: it can
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- The envelope nests entry[].changes[].value.{statuses,messages,errors}[], and every level may repeat. Items that stand
-- outside of it are found where they stand at the level they would have had, and refused: without the envelope nobody
-- says whose they are. What is not shaped as it should be is an item itself, of kind 'part'.
CREATE OR REPLACE FUNCTION headrace.webhook_items(p_body jsonb)
RETURNS TABLE (
    path text, kind text, item jsonb, whatsapp_number_id text, problem text,
    message_id text, status text, at timestamptz, user_phone text, reference text, errors jsonb
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH entry AS (
        SELECT format('entry[%s]', e.n - 1) AS path, e.entry, true AS enveloped, e.n AS place
        FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p_body -> 'entry') = 'array' THEN p_body -> 'entry' ELSE '[]' END)
            WITH ORDINALITY e (entry, n)
        WHERE coalesce(p_body ->> 'object', 'whatsapp_business_account') = 'whatsapp_business_account'
        UNION ALL
        SELECT '', p_body, false, 0 WHERE p_body ? 'changes'
    ), change AS (
        SELECT concat_ws('.', nullif(e.path, ''), format('changes[%s]', c.n - 1)) AS path, c.change, e.enveloped, ARRAY[e.place, c.n] AS place
        FROM entry e
        CROSS JOIN jsonb_array_elements(CASE WHEN jsonb_typeof(e.entry -> 'changes') = 'array' THEN e.entry -> 'changes' ELSE '[]' END)
            WITH ORDINALITY c (change, n)
        UNION ALL
        SELECT '', p_body, false, ARRAY[-1, 0]::bigint[] WHERE p_body ? 'value'
    ), part AS (
        SELECT concat_ws('.', nullif(c.path, ''), 'value') AS path, c.change -> 'value' AS value, c.enveloped, c.place
        FROM change c
        WHERE jsonb_typeof(c.change -> 'value') = 'object' AND coalesce(c.change ->> 'field', 'messages') = 'messages'
        UNION ALL
        SELECT '', p_body, false, ARRAY[0]::bigint[] WHERE p_body ?| ARRAY['statuses', 'messages', 'errors']
    ), found AS (
        SELECT
            concat_ws('.', nullif(v.path, ''), format('%s[%s]', k.name, i.n - 1)) AS path, k.kind, i.item,
            v.value #>> '{metadata,phone_number_id}' AS number_id, v.enveloped, v.place || k.n || i.n AS place
        FROM part v
        CROSS JOIN (VALUES ('statuses', 'status', 1), ('messages', 'message', 2), ('errors', 'error', 3)) k (name, kind, n)
        CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(v.value -> k.name) = 'array' THEN v.value -> k.name ELSE '[]' END)
            WITH ORDINALITY i (item, n)
    ), misshapen AS (
        SELECT '' AS path, p_body AS item, '{}'::bigint[] AS place, b.problem
        FROM (
            SELECT CASE
                WHEN jsonb_typeof(p_body) IS DISTINCT FROM 'object' THEN 'the body is not a JSON object'
                WHEN p_body ->> 'object' <> 'whatsapp_business_account' THEN format('object is %s, not "whatsapp_business_account"', p_body -> 'object')
                WHEN jsonb_typeof(p_body -> 'entry') <> 'array' THEN 'no envelope: entry is not an array'
                WHEN p_body -> 'entry' = '[]' THEN 'no envelope: entry is empty'
                WHEN NOT p_body ? 'entry' AND NOT EXISTS (SELECT FROM found) THEN 'no envelope: entry[].changes[].value is missing'
            END AS problem
        ) b
        WHERE b.problem IS NOT NULL
        UNION ALL
        SELECT e.path, e.entry, ARRAY[e.place], 'no envelope: changes is not an array with something in it'
        FROM entry e WHERE NOT EXISTS (SELECT FROM change c WHERE c.place[1] = e.place)
        UNION ALL
        SELECT
            c.path, c.change, c.place,
            CASE
                WHEN jsonb_typeof(c.change) <> 'object' THEN 'a change that is not a JSON object'
                WHEN c.change ->> 'field' <> 'messages' THEN format('field is %s, not "messages"', c.change -> 'field')
                ELSE 'no envelope: value is not a JSON object'
            END
        FROM change c WHERE NOT EXISTS (SELECT FROM part v WHERE v.place = c.place)
        UNION ALL
        SELECT concat_ws('.', nullif(v.path, ''), k.name), v.value -> k.name, v.place, format('%s is not an array', k.name)
        FROM part v CROSS JOIN (VALUES ('statuses'), ('messages'), ('errors')) k (name)
        WHERE jsonb_typeof(v.value -> k.name) <> 'array'
        UNION ALL
        SELECT v.path, v.value, v.place, 'neither statuses nor messages'
        FROM part v WHERE NOT v.value ?| ARRAY['statuses', 'messages', 'errors']
    ), checked AS (
        SELECT
            f.*, CASE WHEN f.item ->> 'timestamp' ~ '^[0-9]{1,10}$' THEN to_timestamp((f.item ->> 'timestamp')::bigint) END AS at,
            concat_ws('; ',
                CASE WHEN NOT f.enveloped THEN 'no envelope: entry[].changes[].value is missing' END,
                CASE
                    WHEN jsonb_typeof(f.item) <> 'object' THEN 'not a JSON object'
                    WHEN f.kind = 'error' THEN 'an error of the account, not of a message'
                    WHEN f.kind = 'status' AND f.item ->> 'type' <> 'message' THEN format('the status of a %s, not of a message', f.item ->> 'type')
                    WHEN f.kind = 'message' AND f.item ->> 'type' = 'system' THEN 'a notice of the system, not a message of the contact'
                END,
                CASE WHEN jsonb_typeof(f.item) = 'object' AND f.kind <> 'error' THEN nullif(concat_ws('; ',
                    CASE WHEN jsonb_typeof(f.item -> 'id') IS DISTINCT FROM 'string' OR f.item ->> 'id' = '' THEN 'no message id (id)' END,
                    CASE WHEN f.kind = 'status' AND (jsonb_typeof(f.item -> 'status') IS DISTINCT FROM 'string' OR f.item ->> 'status' = '')
                        THEN 'no status' END,
                    CASE
                        WHEN coalesce(f.item ->> 'timestamp', '') = '' THEN 'no timestamp'
                        WHEN jsonb_typeof(f.item -> 'timestamp') NOT IN ('string', 'number') OR f.item ->> 'timestamp' !~ '^[0-9]{1,10}$'
                            THEN format('timestamp %s is not in unix seconds', f.item -> 'timestamp')
                    END,
                    CASE WHEN f.kind = 'message' AND (jsonb_typeof(f.item -> 'from') IS DISTINCT FROM 'string' OR f.item ->> 'from' = '')
                        THEN 'no sender (from)' END,
                    CASE WHEN f.kind = 'message' AND coalesce(f.number_id, '') = '' THEN 'no number (metadata.phone_number_id)' END
                ), '') END) AS problems
        FROM found f
    )
    SELECT
        u.path, u.kind, u.item, u.number_id, u.problem,
        u.item ->> 'id', u.item ->> 'status', u.at, u.item ->> 'from',
        coalesce(u.item #>> '{context,id}', u.item #>> '{reaction,message_id}'), u.item -> 'errors'
    FROM (
        SELECT path, kind, item, number_id, nullif(problems, '') AS problem, at, place FROM checked
        UNION ALL
        SELECT path, 'part', coalesce(item, 'null'), NULL, problem, NULL, place FROM misshapen
    ) u
    ORDER BY u.place
$$;
