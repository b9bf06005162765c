-- purpose: takes a webhook body of the WhatsApp Cloud API apart: statuses, incoming messages, and what is neither
-- grain:   one row per item, in the order of the body; problem says why it cannot be taken, null: it can
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- The envelope nests entry[].changes[].value.{statuses,messages,errors}[], and every level may repeat. Items that stand
-- outside of it are found where they stand at the level they would have had, and refused: without the envelope nobody
-- says whose they are. What is not shaped as it should be is an item itself, of kind 'part'. A notice is a problem of a
-- kind that is known and needs nobody. Of values that others chose, a problem quotes the beginning.
CREATE OR REPLACE FUNCTION headrace.webhook_items(p_body jsonb, p_any_type boolean DEFAULT false)
RETURNS TABLE (
    path text, kind text, item jsonb, whatsapp_number_id text, problem text, notice boolean,
    message_id text, status text, at timestamptz, user_phone text, reference text, errors jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- In PL/pgSQL, which plans it once a session.
    RETURN QUERY
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
            v.value #>> '{metadata,phone_number_id}' AS number_id, v.enveloped, v.place || k.n || i.n AS place,
            CASE WHEN k.kind = 'message' THEN headrace.webhook_sender(i.item, v.value -> 'contacts') END AS sender,
            CASE WHEN k.kind = 'message' THEN headrace.webhook_notice(i.item) END AS notice,
            CASE WHEN k.kind = 'message' AND NOT p_any_type THEN headrace.webhook_unknown_type(i.item) END AS unknown
        FROM part v
        CROSS JOIN (VALUES ('statuses', 'status', 1), ('messages', 'message', 2), ('errors', 'error', 3)) k (name, kind, n)
        CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(v.value -> k.name) = 'array' THEN v.value -> k.name ELSE '[]' END)
            WITH ORDINALITY i (item, n)
    ), misshapen AS (
        SELECT '' AS path, p_body AS item, '{}'::bigint[] AS place, b.problem, false AS notice
        FROM (
            SELECT CASE
                WHEN jsonb_typeof(p_body) IS DISTINCT FROM 'object' THEN 'the body is not a JSON object'
                WHEN p_body ->> 'object' <> 'whatsapp_business_account'
                    THEN format('object is %s, not "whatsapp_business_account"', left((p_body -> 'object')::text, 80))
                WHEN jsonb_typeof(p_body -> 'entry') <> 'array' THEN 'no envelope: entry is not an array'
                WHEN p_body -> 'entry' = '[]' THEN 'no envelope: entry is empty'
                WHEN NOT p_body ? 'entry' AND NOT EXISTS (SELECT FROM found) THEN 'no envelope: entry[].changes[].value is missing'
            END AS problem
        ) b
        WHERE b.problem IS NOT NULL
        UNION ALL
        SELECT e.path, e.entry, ARRAY[e.place], 'no envelope: changes is not an array with something in it', false
        FROM entry e WHERE NOT EXISTS (SELECT FROM change c WHERE c.place[1] = e.place)
        UNION ALL
        SELECT
            c.path, c.change, c.place,
            CASE
                WHEN jsonb_typeof(c.change) <> 'object' THEN 'a change that is not a JSON object'
                WHEN c.change ->> 'field' <> 'messages' THEN format('field is %s, not "messages"', left((c.change -> 'field')::text, 80))
                ELSE 'no envelope: value is not a JSON object'
            END,
            -- The provider's other fields, as of 2026: whoever subscribed to them gets them at the same address.
            c.enveloped AND coalesce(c.change ->> 'field' IN (
                'account_alerts', 'account_offboarded', 'account_reconnected', 'account_review_update', 'account_settings_update', 'account_update',
                'automatic_events', 'business_capability_update', 'business_status_update', 'business_username_update', 'calls', 'flows',
                'group_lifecycle_update', 'group_participants_update', 'group_settings_update', 'group_status_update', 'history', 'message_echoes',
                'message_template_components_update', 'message_template_quality_update', 'message_template_status_update', 'messaging_handovers',
                'partner_solutions', 'payment_configuration_update', 'phone_number_name_update', 'phone_number_quality_update', 'security',
                'smb_app_state_sync', 'smb_message_echoes', 'standby', 'template_category_update', 'template_correct_category_detection',
                'tracking_events', 'user_id_update', 'user_preferences'), false)
        FROM change c WHERE NOT EXISTS (SELECT FROM part v WHERE v.place = c.place)
        UNION ALL
        SELECT concat_ws('.', nullif(v.path, ''), k.name), v.value -> k.name, v.place, format('%s is not an array', k.name), false
        FROM part v CROSS JOIN (VALUES ('statuses'), ('messages'), ('errors')) k (name)
        WHERE jsonb_typeof(v.value -> k.name) <> 'array'
        UNION ALL
        SELECT v.path, v.value, v.place, 'neither statuses nor messages', false
        FROM part v WHERE NOT v.value ?| ARRAY['statuses', 'messages', 'errors']
        UNION ALL
        -- Beside statuses and messages a list of what is neither.
        SELECT
            concat_ws('.', nullif(v.path, ''), left(k.name, 80)), v.value -> k.name, v.place,
            format('%s is neither statuses nor messages', left(k.name, 80)), false
        FROM part v CROSS JOIN LATERAL jsonb_object_keys(v.value) k (name)
        WHERE v.enveloped AND v.value ?| ARRAY['statuses', 'messages', 'errors']
            AND k.name NOT IN ('statuses', 'messages', 'errors', 'contacts', 'metadata', 'messaging_product')
            AND jsonb_typeof(v.value -> k.name) = 'array'
    ), checked AS (
        SELECT
            f.*, CASE WHEN f.item ->> 'timestamp' ~ '^[0-9]{1,10}$' THEN to_timestamp((f.item ->> 'timestamp')::bigint) END AS at,
            concat_ws('; ',
                CASE WHEN NOT f.enveloped THEN 'no envelope: entry[].changes[].value is missing' END,
                CASE
                    WHEN jsonb_typeof(f.item) <> 'object' THEN 'not a JSON object'
                    WHEN f.kind = 'error' THEN 'an error of the account, not of a message'
                    WHEN f.kind = 'status' AND f.item ->> 'type' <> 'message'
                        THEN format('the status of a %s, not of a message', left(f.item ->> 'type', 80))
                    WHEN f.kind = 'message' THEN coalesce(f.notice, f.unknown)
                END,
                CASE WHEN jsonb_typeof(f.item) = 'object' AND f.kind <> 'error' THEN nullif(concat_ws('; ',
                    CASE WHEN jsonb_typeof(f.item -> 'id') IS DISTINCT FROM 'string' OR f.item ->> 'id' = '' THEN 'no message id (id)' END,
                    CASE WHEN f.kind = 'status' AND (jsonb_typeof(f.item -> 'status') IS DISTINCT FROM 'string' OR f.item ->> 'status' = '')
                        THEN 'no status' END,
                    CASE
                        WHEN coalesce(f.item ->> 'timestamp', '') = '' THEN 'no timestamp'
                        WHEN jsonb_typeof(f.item -> 'timestamp') NOT IN ('string', 'number') OR f.item ->> 'timestamp' !~ '^[0-9]{1,10}$'
                            THEN format('timestamp %s is not in unix seconds', left((f.item -> 'timestamp')::text, 80))
                    END,
                    CASE WHEN f.kind = 'message' AND f.notice IS NULL AND f.sender IS NULL THEN 'no sender (from)' END,
                    CASE WHEN f.kind = 'message' AND coalesce(f.number_id, '') = '' THEN 'no number (metadata.phone_number_id)' END
                ), '') END) AS problems
        FROM found f
    )
    SELECT
        u.path, u.kind, u.item, u.number_id, u.problem, u.notice, u.item ->> 'id', u.item ->> 'status', u.at, u.sender,
        CASE WHEN u.kind = 'message' THEN coalesce(
            CASE WHEN jsonb_typeof(u.item #> '{reaction,message_id}') = 'string' THEN nullif(u.item #>> '{reaction,message_id}', '') END,
            CASE WHEN jsonb_typeof(u.item #> '{context,id}') = 'string' THEN nullif(u.item #>> '{context,id}', '') END) END,
        u.item -> 'errors'
    FROM (
        SELECT path, kind, item, number_id, nullif(problems, '') AS problem, enveloped AND notice IS NOT NULL AS notice, at, sender, place FROM checked
        UNION ALL
        SELECT path, 'part', coalesce(item, 'null'), NULL, problem, notice, NULL, NULL, place FROM misshapen
    ) u
    ORDER BY u.place;
END
$$;
