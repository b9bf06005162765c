-- purpose: writers that run in the server, so that no client is measured: single-row statements, one after the other
-- grain:   one call writes each of the rows named once, or goes round them until the seconds are over
-- reads:   nothing
-- writes:  send_queue (status, or note, which nobody watches) or message_status_logs (one status webhook)
-- locks:   the rows it writes
CREATE PROCEDURE bench.write(
    p_kind text, p_ids uuid[], p_each_a_transaction boolean, p_seconds double precision, INOUT p_written bigint
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_until constant timestamptz := clock_timestamp() + make_interval(secs => p_seconds);
    v_id uuid;
BEGIN
    p_written := 0;
    LOOP
        FOREACH v_id IN ARRAY p_ids LOOP
            IF p_kind = 'watched' THEN
                UPDATE send_queue SET status = CASE status WHEN 'sent' THEN 'queued' ELSE 'sent' END WHERE id = v_id;
            ELSIF p_kind = 'unwatched' THEN
                UPDATE send_queue SET note = coalesce(note, 0) + 1 WHERE id = v_id;
            ELSE
                INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES (v_id::text, 'read');
            END IF;
            IF p_each_a_transaction THEN
                COMMIT;
            END IF;
            p_written := p_written + 1;
            IF clock_timestamp() >= v_until THEN
                RETURN;
            END IF;
        END LOOP;
        EXIT WHEN p_seconds IS NULL;
    END LOOP;
END
$$;
