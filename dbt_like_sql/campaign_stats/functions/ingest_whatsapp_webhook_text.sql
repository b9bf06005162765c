-- purpose: takes in a webhook body as the text that the provider sent, whatever it contains
-- grain:   one call per body; the result of ingest_whatsapp_webhook, with replaced: whether characters had to be replaced
-- reads:   what ingest_whatsapp_webhook reads
-- writes:  what ingest_whatsapp_webhook writes
-- locks:   what ingest_whatsapp_webhook locks
--
-- A body with \u0000, half a surrogate pair or no JSON at all cannot be passed as jsonb: the call would fail before the function runs,
-- and the provider would repeat the delivery for days, in vain.
CREATE OR REPLACE FUNCTION headrace.ingest_whatsapp_webhook_text(p_body text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_body jsonb;
    v_replaced boolean := false;
BEGIN
    FOR v_try IN 0..3 LOOP
        BEGIN
            v_body := CASE v_try
                WHEN 0 THEN p_body::jsonb
                WHEN 1 THEN headrace.clean_json(p_body, false)::jsonb
                WHEN 2 THEN headrace.clean_json(p_body, true)::jsonb
                ELSE to_jsonb(p_body)
            END;
            v_replaced := v_try IN (1, 2);
            EXIT;
        EXCEPTION WHEN data_exception OR program_limit_exceeded OR feature_not_supported THEN
            NULL;
        END;
    END LOOP;
    RETURN headrace.ingest_whatsapp_webhook(v_body) || jsonb_build_object('replaced', v_replaced);
END
$$;
