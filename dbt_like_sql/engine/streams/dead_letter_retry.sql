-- purpose: retries dead letters in order of pos; removes those that apply, counts one more attempt for those that fail
-- grain:   the letters named, or with p_due those whose next try is due; a waiting one is tried once none precedes it
-- reads:   headrace.stream, headrace.dead_letter
-- writes:  headrace.dead_letter, and what the handlers write
-- locks:   the letters' rows (SKIP LOCKED), and what the handlers lock
--
-- A call tries at most 1,000 letters and stops after a second, because it holds all its locks until the end. rest: the ids it did
-- not get to, for the next call; null if there are none.
CREATE OR REPLACE FUNCTION headrace.dead_letter_retry(
    p_ids bigint[] DEFAULT NULL, p_due boolean DEFAULT false, OUT applied integer, OUT failed integer, OUT rest bigint[]
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_ids bigint[];
    d record;
    v_code text;
    v_message text;
BEGIN
    applied := 0;
    failed := 0;
    v_ids := ARRAY(
        SELECT l.id FROM headrace.dead_letter l
        WHERE (p_ids IS NULL OR l.id = ANY (p_ids)) AND (NOT p_due OR l.status = 'waiting' OR l.next_try_at <= now())
        ORDER BY l.stream, l.pos LIMIT 1000000);
    FOR i IN 1 .. cardinality(v_ids) LOOP
        IF i > 1 AND (i > 1000 OR clock_timestamp() > v_until) THEN
            rest := v_ids[i:];
            RETURN;
        END IF;
        SELECT l.*, s.handler, s.ordered INTO d FROM headrace.dead_letter l INNER JOIN headrace.stream s ON s.stream = l.stream
        WHERE l.id = v_ids[i] AND (NOT p_due OR l.status = 'waiting' OR l.next_try_at <= now())
        FOR UPDATE OF l SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        CONTINUE WHEN d.ordered AND EXISTS (
            SELECT FROM headrace.dead_letter e
            WHERE e.stream = d.stream AND hashtextextended(e.entity_id, 0) = hashtextextended(d.entity_id, 0)
                AND e.entity_id = d.entity_id AND e.pos < d.pos);
        BEGIN
            IF d.error_code = 'P0H01' THEN  -- was cut when it was set aside (stream_read)
                RAISE EXCEPTION USING ERRCODE = d.error_code, MESSAGE = d.error;
            END IF;
            EXECUTE format('SELECT %s($1)', d.handler) USING ARRAY[d.change];
            DELETE FROM headrace.dead_letter l WHERE l.id = d.id;
            applied := applied + 1;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            IF NOT headrace.is_data_error(v_code, v_message) THEN
                RAISE;
            END IF;
            UPDATE headrace.dead_letter l SET
                status = 'failed', error_code = v_code, error = left(v_message, 2000), attempts = l.attempts + 1,
                last_failed_at = clock_timestamp(), next_try_at = headrace.dead_letter_next_try(l.attempts + 1)
            WHERE l.id = d.id;
            failed := failed + 1;
        END;
    END LOOP;
END
$$;
