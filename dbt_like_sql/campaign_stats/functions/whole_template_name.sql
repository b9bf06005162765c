-- purpose: the whole name of a template whose key is cut, from a message that has it
-- grain:   one key
-- reads:   stg_send_queue
-- writes:  nothing; raises serialization_failure, to be tried again, if the message has another name by now
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.whole_template_name(p_key text, p_message_id text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_name text;
BEGIN
    SELECT q.template_name INTO v_name FROM headrace.stg_send_queue() q WHERE q.id = p_message_id::{{ type('send_queue', 'id') }};
    IF headrace.template_key(v_name) IS DISTINCT FROM p_key THEN
        RAISE EXCEPTION 'message % got another template while it was being counted; trying again', p_message_id USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN v_name;
END
$$;
