-- purpose: takes one value of a webhook apart: the part of webhook_items below entry[].changes[].value
-- grain:   as webhook_items; p_path: the value's place, '': it is the body; p_enveloped: whether it is in its envelope
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.webhook_value_items(p_path text, p_value jsonb, p_enveloped boolean, p_any_type boolean)
RETURNS TABLE (
    path text, kind text, item jsonb, whatsapp_number_id text, problem text, notice boolean,
    message_id text, status text, at timestamptz, user_phone text, reference text, errors jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_prefix text := CASE WHEN p_path = '' THEN '' ELSE p_path || '.' END;
    v_number text := p_value #>> '{metadata,phone_number_id}';
    v_outside text := CASE WHEN NOT p_enveloped THEN 'no envelope: entry[].changes[].value is missing' END;
    v_lists integer := 0;
    v_name text;
BEGIN
    kind := 'part';
    notice := false;
    FOREACH v_name IN ARRAY ARRAY['statuses', 'messages', 'errors'] LOOP
        v_lists := v_lists + (p_value ? v_name)::integer;
        IF jsonb_typeof(p_value -> v_name) <> 'array' THEN
            path := v_prefix || v_name;
            item := p_value -> v_name;
            problem := v_name || ' is not an array';
            RETURN NEXT;
        END IF;
    END LOOP;
    IF v_lists = 0 THEN
        path := p_path;
        item := p_value;
        problem := 'neither statuses nor messages';
        RETURN NEXT;
    ELSIF p_enveloped AND p_value - ARRAY['statuses', 'messages', 'errors', 'contacts', 'metadata', 'messaging_product'] <> '{}' THEN
        RETURN QUERY
        SELECT
            v_prefix || left(k.name, 80), 'part', k.list, NULL::text, left(k.name, 80) || ' is neither statuses nor messages', false,
            NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::jsonb
        FROM jsonb_each(p_value - ARRAY['statuses', 'messages', 'errors', 'contacts', 'metadata', 'messaging_product']) k (name, list)
        WHERE jsonb_typeof(k.list) = 'array';
    END IF;

    IF jsonb_typeof(p_value -> 'statuses') = 'array' THEN
        RETURN QUERY
        SELECT
            format('%sstatuses[%s]', v_prefix, i.n - 1), 'status', i.item, v_number,
            nullif(concat_ws('; ', v_outside, CASE
                WHEN jsonb_typeof(i.item) <> 'object' THEN 'not a JSON object'
                ELSE nullif(concat_ws('; ',
                    CASE WHEN i.item ->> 'type' <> 'message' THEN format('the status of a %s, not of a message', left(i.item ->> 'type', 80)) END,
                    CASE WHEN jsonb_typeof(i.item -> 'id') IS DISTINCT FROM 'string' OR i.item ->> 'id' = '' THEN 'no message id (id)' END,
                    CASE WHEN jsonb_typeof(i.item -> 'status') IS DISTINCT FROM 'string' OR i.item ->> 'status' = '' THEN 'no status' END,
                    headrace.webhook_time_problem(i.item -> 'timestamp')), '')
            END), ''),
            false, i.item ->> 'id', i.item ->> 'status',
            CASE WHEN i.item ->> 'timestamp' ~ '^[0-9]{1,10}$' THEN to_timestamp((i.item ->> 'timestamp')::bigint) END,
            NULL::text, NULL::text, i.item -> 'errors'
        FROM jsonb_array_elements(p_value -> 'statuses') WITH ORDINALITY i (item, n);
    END IF;
    IF jsonb_typeof(p_value -> 'messages') = 'array' THEN
        RETURN QUERY
        SELECT
            format('%smessages[%s]', v_prefix, i.n - 1), 'message', i.item, v_number,
            nullif(concat_ws('; ', v_outside, CASE
                WHEN jsonb_typeof(i.item) <> 'object' THEN 'not a JSON object'
                ELSE nullif(concat_ws('; ',
                    coalesce(k.notice, CASE WHEN NOT p_any_type THEN headrace.webhook_unknown_type(i.item) END),
                    CASE WHEN jsonb_typeof(i.item -> 'id') IS DISTINCT FROM 'string' OR i.item ->> 'id' = '' THEN 'no message id (id)' END,
                    headrace.webhook_time_problem(i.item -> 'timestamp'),
                    CASE WHEN k.notice IS NULL AND k.sender IS NULL THEN 'no sender (from)' END,
                    CASE WHEN coalesce(v_number, '') = '' THEN 'no number (metadata.phone_number_id)' END), '')
            END), ''),
            p_enveloped AND k.notice IS NOT NULL, i.item ->> 'id', NULL::text,
            CASE WHEN i.item ->> 'timestamp' ~ '^[0-9]{1,10}$' THEN to_timestamp((i.item ->> 'timestamp')::bigint) END,
            k.sender,
            coalesce(
                CASE WHEN jsonb_typeof(i.item #> '{reaction,message_id}') = 'string' THEN nullif(i.item #>> '{reaction,message_id}', '') END,
                CASE WHEN jsonb_typeof(i.item #> '{context,id}') = 'string' THEN nullif(i.item #>> '{context,id}', '') END),
            NULL::jsonb
        FROM jsonb_array_elements(p_value -> 'messages') WITH ORDINALITY i (item, n)
        CROSS JOIN LATERAL (
            SELECT
                headrace.webhook_notice(i.item) AS notice,
                CASE
                    WHEN jsonb_typeof(i.item -> 'from') = 'string' AND i.item ->> 'from' <> '' AND NOT i.item ? 'group_id' THEN i.item ->> 'from'
                    ELSE headrace.webhook_sender(i.item, p_value -> 'contacts')
                END AS sender
            OFFSET 0
        ) k;
    END IF;
    IF jsonb_typeof(p_value -> 'errors') = 'array' THEN
        RETURN QUERY
        SELECT
            format('%serrors[%s]', v_prefix, i.n - 1), 'error', i.item, v_number,
            concat_ws('; ', v_outside, CASE WHEN jsonb_typeof(i.item) = 'object' THEN 'an error of the account, not of a message' ELSE 'not a JSON object' END),
            false, NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::jsonb
        FROM jsonb_array_elements(p_value -> 'errors') WITH ORDINALITY i (item, n);
    END IF;
END
$$;
