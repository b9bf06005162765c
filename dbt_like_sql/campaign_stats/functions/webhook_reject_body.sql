-- purpose: rebuilds a webhook body with a refused part in its original place
-- grain:   one row of headrace.webhook_reject
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.webhook_reject_body(p_path text, p_item jsonb, p_number_id text, p_sender text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_path = '' THEN p_item
        WHEN p_path ~ E'^entry\\[\\d+\\]$' THEN jsonb_build_object('entry', jsonb_build_array(p_item))
        WHEN p_path ~ E'^entry\\[\\d+\\]\\.changes\\[\\d+\\]$'
            THEN jsonb_build_object('entry', jsonb_build_array(jsonb_build_object('changes', jsonb_build_array(p_item))))
        WHEN p_path LIKE 'entry[%' THEN jsonb_build_object('entry', jsonb_build_array(jsonb_build_object(
            'changes', jsonb_build_array(jsonb_build_object('field', 'messages', 'value', v.value)))))
        ELSE v.value
    END
    FROM (
        SELECT CASE
            WHEN p_path ~ E'\\.value$' THEN p_item
            ELSE '{"statuses": []}' || jsonb_build_object(
                regexp_replace(p_path, E'^.*\\.|\\[\\d+\\]$', '', 'g'),
                CASE WHEN p_path ~ E'\\]$' THEN jsonb_build_array(p_item) ELSE p_item END,
                'metadata', jsonb_build_object('phone_number_id', p_number_id))
                || CASE WHEN p_sender IS NULL THEN '{}' ELSE jsonb_build_object('contacts', jsonb_build_array(jsonb_build_object('wa_id', p_sender))) END
        END AS value
    ) v
$$;
