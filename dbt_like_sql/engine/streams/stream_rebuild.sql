-- purpose: does the next piece of a stream's queued rebuilds
-- grain:   one transaction's worth; how many things were rebuilt. p_patient: leave out what the stream would rather put off
-- reads:   headrace.stream
-- writes:  what the stream's rebuild_step writes
-- locks:   what the stream's rebuild_step locks
CREATE OR REPLACE FUNCTION headrace.stream_rebuild(p_stream text, p_patient boolean DEFAULT false) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_step text;
    v_done integer;
BEGIN
    SELECT s.rebuild_step INTO v_step FROM headrace.stream s WHERE s.stream = p_stream;
    IF v_step IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT %s(p_patient => $1)', v_step) INTO v_done USING p_patient;
    RETURN v_done;
END
$$;
