-- purpose: tries dead letters again, in order of pos; what applies is removed, what fails counts one attempt more
-- grain:   the letters named, or with p_due those whose next try is due; a waiting one is tried once none precedes it
-- reads:   headrace.stream
-- writes:  headrace.dead_letter, and what the handlers write
-- locks:   the letters' rows (SKIP LOCKED), and the handlers'
CREATE OR REPLACE FUNCTION headrace.dead_letter_retry(
    p_ids bigint[] DEFAULT NULL, p_due boolean DEFAULT false, OUT applied integer, OUT failed integer
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    d record;
    v_code text;
    v_message text;
BEGIN
    applied := 0;
    failed := 0;
    FOR d IN
        SELECT l.*, s.handler, s.ordered FROM headrace.dead_letter l JOIN headrace.stream s USING (stream)
        WHERE (p_ids IS NULL OR l.id = ANY (p_ids)) AND (NOT p_due OR l.status = 'waiting' OR l.next_try_at <= now())
        ORDER BY l.stream, l.pos
        FOR UPDATE OF l SKIP LOCKED
    LOOP
        CONTINUE WHEN d.ordered AND EXISTS (
            SELECT FROM headrace.dead_letter e WHERE e.stream = d.stream AND e.entity_id = d.entity_id AND e.pos < d.pos);
        BEGIN
            EXECUTE format('SELECT %s($1)', d.handler) USING ARRAY[d.change];
            DELETE FROM headrace.dead_letter l WHERE l.id = d.id;
            applied := applied + 1;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            IF NOT headrace.is_data_error(v_code) THEN
                RAISE;
            END IF;
            UPDATE headrace.dead_letter l SET
                status = 'failed', error_code = v_code, error = v_message, attempts = l.attempts + 1,
                last_failed_at = clock_timestamp(), next_try_at = headrace.dead_letter_next_try(l.attempts + 1)
            WHERE l.id = d.id;
            failed := failed + 1;
        END;
    END LOOP;
END
$$;
