-- purpose: queues all phones
-- grain:   how many
-- reads:   orders, messages, send_queue
-- writes:  headrace.toy_request
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.toy_request_all() RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH queued AS (
        INSERT INTO headrace.toy_request
        SELECT phone FROM headrace.stg_orders() UNION SELECT user_phone FROM {{ source }}.messages UNION SELECT user_phone FROM {{ source }}.send_queue
        UNION SELECT phone FROM headrace.toy_tally
        EXCEPT SELECT NULL
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM queued
$$;
