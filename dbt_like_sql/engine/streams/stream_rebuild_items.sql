-- purpose: recomputes what stream_rebuild_pick picked in the same transaction
-- grain:   one transaction's worth; how many things were rebuilt
-- reads:   headrace.stream
-- writes:  what the stream's rebuild_items writes
-- locks:   what the stream's rebuild_items locks
CREATE OR REPLACE FUNCTION headrace.stream_rebuild_items(p_stream text, p_items text[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_rebuild text;
    v_done integer;
BEGIN
    SELECT s.rebuild_items INTO v_rebuild FROM headrace.stream s WHERE s.stream = p_stream;
    IF v_rebuild IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT %s($1)', v_rebuild) INTO v_done USING p_items;
    RETURN v_done;
END
$$;
