-- purpose: writes a webhook's statuses and incoming messages to the application's tables, each once
-- grain:   items of webhook_items without a problem; how many were stored, already there, or suppressed, and which were refused
-- reads:   what the functions it calls read
-- writes:  {{ source }}.message_status_logs, {{ source }}.messages, and what lock_webhook_buckets writes
-- locks:   rows of headrace.webhook_lock, one for each 256th of message ids, in order, so that two deliveries of one item wait for each other
--
-- suppressed: by a trigger of the application; refused: by its tables, each with the reason. Nobody else can lock rows of webhook_lock.
--
-- The application's triggers run in store_webhook_items, with that function's few rights. A setting that they change stays changed when
-- it returns, even search_path: so that is reset first, before any name or operator is looked up.
CREATE OR REPLACE FUNCTION headrace.take_webhook_items(
    p_items jsonb, p_statuses bigint, p_messages bigint, p_buckets smallint[]
) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_locked integer;
    v_new record;
    v_item jsonb;
    v_stored record;
    v_code text;
    v_error text;
    v_statuses bigint := 0;
    v_messages bigint := 0;
    v_new_statuses bigint := 0;
    v_new_messages bigint := 0;
    v_refused jsonb := '[]';
    v_refused_statuses bigint := 0;
    v_refused_messages bigint := 0;
BEGIN
    v_locked := headrace.lock_webhook_buckets(p_buckets);
    BEGIN
        v_new := headrace.new_webhook_items(p_items);
        v_stored := headrace.store_webhook_items(v_new.items);
        IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) 'pg_catalog, headrace, pg_temp' THEN
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, headrace, pg_temp', false);
        END IF;
        v_statuses := v_stored.statuses;
        v_messages := v_stored.messages;
        v_new_statuses := v_new.statuses;
        v_new_messages := v_new.messages;
    EXCEPTION WHEN OTHERS OR assert_failure THEN
        GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE;
        IF headrace.is_passing_error(v_code) THEN
            RAISE;
        END IF;
        -- At least one item is at fault: all are tried one by one.
        FOR v_item IN SELECT i FROM jsonb_array_elements(p_items) i LOOP
            BEGIN
                v_new := headrace.new_webhook_items(jsonb_build_array(v_item));
                v_stored := headrace.store_webhook_items(v_new.items);
                IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) 'pg_catalog, headrace, pg_temp' THEN
                    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, headrace, pg_temp', false);
                END IF;
                v_statuses := v_statuses + v_stored.statuses;
                v_messages := v_messages + v_stored.messages;
                v_new_statuses := v_new_statuses + v_new.statuses;
                v_new_messages := v_new_messages + v_new.messages;
            EXCEPTION WHEN OTHERS OR assert_failure THEN
                GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_error = MESSAGE_TEXT;
                IF headrace.is_passing_error(v_code) THEN
                    RAISE;
                END IF;
                v_refused := v_refused || (v_item || jsonb_build_object('problem', v_code || ' ' || left(v_error, 400)));
                v_refused_statuses := v_refused_statuses + (v_item ->> 'kind' = 'status')::integer;
                v_refused_messages := v_refused_messages + (v_item ->> 'kind' = 'message')::integer;
            END;
        END LOOP;
    END;
{%- if not optional('message_status_logs', 'errors', 'y', '') %}
    -- There is no column for the errors.
    v_refused := v_refused || coalesce((
        SELECT jsonb_agg(i || '{"problem": "taken in without its errors: table message_status_logs lacks column errors (jsonb)"}')
        FROM jsonb_array_elements(p_items) i WHERE i ->> 'kind' = 'status' AND jsonb_typeof(i -> 'errors') = 'array'), '[]');
{%- endif %}
    RETURN jsonb_build_object(
        'statuses', jsonb_build_object(
            'stored', v_statuses, 'repeated', p_statuses - v_refused_statuses - v_new_statuses, 'suppressed', v_new_statuses - v_statuses),
        'messages', jsonb_build_object(
            'stored', v_messages, 'repeated', p_messages - v_refused_messages - v_new_messages, 'suppressed', v_new_messages - v_messages),
        'refused', v_refused);
END
$$;
