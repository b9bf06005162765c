-- purpose: applies one batch of a stream's shard: reads it, passes it to the stream's handler, sets aside what cannot be applied
-- grain:   up to p_limit changes; with p_isolate each is applied alone, and one whose data the handler refuses becomes a dead letter
-- reads:   headrace.stream, headrace.dead_letter, and what stream_read reads
-- writes:  headrace.stream_cursor, headrace.dead_letter, and what the handler writes; all in the caller's transaction
-- locks:   the cursor's row (SKIP LOCKED), and what the handler locks
CREATE OR REPLACE FUNCTION headrace.stream_step(
    p_stream text, p_shard integer, p_limit integer, p_isolate boolean DEFAULT false,
    OUT status text, OUT changes integer, OUT dead_letters integer, OUT more boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    s headrace.stream;
    v_batch headrace.change_log[];
    v_waiting headrace.change_log[];
    v_change headrace.change_log;
    v_code text;
    v_message text;
BEGIN
    dead_letters := 0;
    SELECT * INTO s FROM headrace.stream t WHERE t.stream = p_stream;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no stream %', p_stream USING ERRCODE = 'no_data_found';
    END IF;
    v_batch := headrace.stream_read(p_stream, p_shard, least(greatest(p_limit, 1), 100000));
    status := CASE WHEN v_batch IS NULL THEN 'busy' WHEN v_batch = '{}' THEN 'idle' ELSE 'applied' END;
    changes := coalesce(cardinality(v_batch), 0);
    more := coalesce((SELECT k.cur IS NOT NULL FROM headrace.stream_cursor k WHERE k.stream = p_stream AND k.shard = p_shard), false);
    IF changes = 0 THEN
        RETURN;
    END IF;

    IF s.ordered AND EXISTS (SELECT FROM headrace.dead_letter d WHERE d.stream = p_stream) THEN
        SELECT array_agg(b ORDER BY b.pos) FILTER (WHERE d.waits), coalesce(array_agg(b ORDER BY b.pos) FILTER (WHERE NOT d.waits), '{}')
        INTO v_waiting, v_batch
        FROM unnest(v_batch) b CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM headrace.dead_letter d WHERE d.stream = p_stream AND hashtextextended(d.entity_id, 0) = hashtextextended(b.entity_id, 0) AND d.entity_id = b.entity_id) AS waits
        ) d;
        INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, status, error_code, error, attempts)
        SELECT p_stream, p_shard, w, w.pos, w.entity_id, 'waiting', '00000', 'waits behind an earlier change of the same entity', 0
        FROM unnest(v_waiting) w;
    END IF;

    IF NOT p_isolate THEN
        EXECUTE format('SELECT %s($1)', s.handler) USING v_batch;
        RETURN;
    END IF;
    FOREACH v_change IN ARRAY v_batch LOOP
        IF s.ordered AND EXISTS (SELECT FROM headrace.dead_letter d 
            WHERE d.stream = p_stream AND hashtextextended(d.entity_id, 0) = hashtextextended(v_change.entity_id, 0) AND d.entity_id = v_change.entity_id)
        THEN
            INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, status, error_code, error, attempts)
            VALUES (p_stream, p_shard, v_change, v_change.pos, v_change.entity_id, 'waiting', '00000', 'waits behind an earlier change of the same entity', 0);
            CONTINUE;
        END IF;
        BEGIN
            EXECUTE format('SELECT %s($1)', s.handler) USING ARRAY[v_change];
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            IF NOT headrace.is_data_error(v_code, v_message) THEN
                RAISE;
            END IF;
            INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, error_code, error, next_try_at)
            VALUES (p_stream, p_shard, v_change, v_change.pos, v_change.entity_id, v_code, left(v_message, 2000), headrace.dead_letter_next_try(1));
            dead_letters := dead_letters + 1;
        END;
    END LOOP;
END
$$;
