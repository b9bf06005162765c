-- purpose: takes a webhook body of the WhatsApp Cloud API apart: statuses, incoming messages, and everything else
-- grain:   one row per item, in the order of the body; problem: why it cannot be taken in, null: it can
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- The envelope nests entry[].changes[].value.{statuses,messages,errors}[], and every level may repeat. Items outside of it are found at
-- the level where they would have been, and refused: without the envelope nothing says whose they are. Anything malformed is itself an
-- item, of kind 'part'. A notice is a known kind of problem that needs nobody's attention. Of values chosen by others, a problem
-- quotes only the beginning.
-- In PL/pgSQL, which keeps its plans for the session and runs only those that a body needs: as a single statement it took most of the
-- time of a small webhook.
CREATE OR REPLACE FUNCTION headrace.webhook_items(p_body jsonb, p_any_type boolean DEFAULT false)
RETURNS TABLE (
    path text, kind text, item jsonb, whatsapp_number_id text, problem text, notice boolean,
    message_id text, status text, at timestamptz, user_phone text, reference text, errors jsonb
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_ours boolean := coalesce(p_body ->> 'object' = 'whatsapp_business_account', true);
    v_entries jsonb;  -- each with its changes
    v_entry jsonb;
    v_changes jsonb;
    v_enveloped boolean;
    v_first integer;  -- -2: the body may be a bare change; -1: a bare entry
    v_found boolean := false;
BEGIN
    kind := 'part';
    path := '';
    item := coalesce(p_body, 'null');
    notice := false;
    problem := CASE
        WHEN jsonb_typeof(p_body) IS DISTINCT FROM 'object' THEN 'the body is not a JSON object'
        WHEN NOT v_ours THEN format('object is %s, not "whatsapp_business_account"', left((p_body -> 'object')::text, 80))
        WHEN jsonb_typeof(p_body -> 'entry') <> 'array' THEN 'no envelope: entry is not an array'
        WHEN p_body -> 'entry' = '[]' THEN 'no envelope: entry is empty'
    END;
    IF problem IS NOT NULL THEN
        RETURN NEXT;
        v_entries := '[]';
    ELSE
        v_entries := coalesce(p_body -> 'entry', '[]');
    END IF;

    v_first := CASE WHEN p_body ? 'value' THEN -2 WHEN p_body ? 'changes' THEN -1 ELSE 0 END;
    FOR n IN v_first .. jsonb_array_length(v_entries) - 1 LOOP
        CONTINUE WHEN n = -1 AND NOT p_body ? 'changes';
        v_enveloped := n >= 0;
        v_entry := CASE WHEN v_enveloped THEN v_entries -> n ELSE p_body END;
        v_changes := CASE
            WHEN n = -2 THEN jsonb_build_array(p_body)
            WHEN jsonb_typeof(v_entry -> 'changes') = 'array' THEN v_entry -> 'changes'
            ELSE '[]'
        END;
        IF v_changes = '[]' THEN
            path := CASE WHEN v_enveloped THEN format('entry[%s]', n) ELSE '' END;
            item := v_entry;
            notice := false;
            problem := 'no envelope: changes is not an array with something in it';
            RETURN NEXT;
        END IF;
        FOR m IN 0 .. jsonb_array_length(v_changes) - 1 LOOP
            path := CASE WHEN v_enveloped THEN format('entry[%s].changes[%s]', n, m) WHEN n = -1 THEN format('changes[%s]', m) ELSE '' END;
            item := v_changes -> m;
            problem := CASE
                WHEN jsonb_typeof(item) <> 'object' THEN 'a change that is not a JSON object'
                WHEN item ->> 'field' <> 'messages' THEN format('field is %s, not "messages"', left((item -> 'field')::text, 80))
                WHEN jsonb_typeof(item -> 'value') IS DISTINCT FROM 'object' THEN 'no envelope: value is not a JSON object'
            END;
            IF problem IS NULL THEN
                RETURN QUERY SELECT * FROM headrace.webhook_value_items(
                    CASE WHEN path = '' THEN 'value' ELSE path || '.value' END, item -> 'value', v_enveloped, p_any_type);
                v_found := v_found OR FOUND;
            ELSE
                notice := v_enveloped AND headrace.is_other_webhook_field(item ->> 'field');
                RETURN NEXT;
            END IF;
        END LOOP;
    END LOOP;

    IF p_body ?| ARRAY['statuses', 'messages', 'errors'] THEN
        RETURN QUERY SELECT * FROM headrace.webhook_value_items('', p_body, false, p_any_type);
        v_found := v_found OR EXISTS (
            SELECT FROM unnest(ARRAY['statuses', 'messages', 'errors']) k (name)
            WHERE jsonb_typeof(p_body -> k.name) = 'array' AND p_body -> k.name <> '[]');
    END IF;
    IF v_ours AND NOT v_found AND jsonb_typeof(p_body) = 'object' AND NOT p_body ? 'entry' THEN
        path := '';
        item := p_body;
        notice := false;
        problem := 'no envelope: entry[].changes[].value is missing';
        RETURN NEXT;
    END IF;
END
$$;
