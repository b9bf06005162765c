-- purpose: the next things that a stream has queued to be recomputed together, held until the transaction ends
-- grain:   names, for stream_rebuild_items; empty: none is due, or others have them. p_patient: what the stream would rather put off is left
-- reads:   headrace.stream
-- writes:  nothing
-- locks:   the stream's rebuild_pick's
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
