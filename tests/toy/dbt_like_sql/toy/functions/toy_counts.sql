-- purpose: who has what
-- grain:   one row per phone
-- reads:   orders, messages, send_queue
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.toy_counts(p_phones text[]) RETURNS TABLE (phone text, orders bigint, outgoing bigint, failures bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT
        p, (SELECT count(*) FROM headrace.stg_orders() o WHERE o.phone = p AND o.took <= headrace.toy_grace()),
        (SELECT count(*) FROM {{ source }}.messages m WHERE m.user_phone = p AND m.direction = 'outgoing' AND headrace.source_holds('messages')),
        (SELECT count(*) FROM {{ source }}.send_queue q WHERE q.user_phone = p AND q.status = 'failed' AND headrace.source_holds('send_queue'))
    FROM unnest(p_phones) p
$$;
