-- purpose: picks the next queued things that a stream recomputes together, and locks them until the transaction ends
-- grain:   names for stream_rebuild_items; empty if none is due or others hold them. p_patient: leave out what the stream would rather put off
-- reads:   headrace.stream, and what the stream's rebuild_pick reads
-- writes:  nothing
-- locks:   what the stream's rebuild_pick locks
CREATE OR REPLACE FUNCTION headrace.stream_rebuild_pick(p_stream text, p_patient boolean DEFAULT false) RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_pick text;
    v_items text[];
BEGIN
    SELECT s.rebuild_pick INTO v_pick FROM headrace.stream s WHERE s.stream = p_stream;
    IF v_pick IS NULL THEN
        RETURN '{}';
    END IF;
    EXECUTE format('SELECT %s(p_patient => $1)', v_pick) INTO v_items USING p_patient;
    RETURN coalesce(v_items, '{}');
END
$$;
