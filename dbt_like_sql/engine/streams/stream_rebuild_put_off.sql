-- purpose: records why things could not be recomputed and puts them off; called in its own transaction after the failed one
-- grain:   names from stream_rebuild_pick, each of which failed when tried alone; p_seconds: how long the try took
-- reads:   headrace.stream
-- writes:  what the stream's rebuild_put_off writes
-- locks:   what the stream's rebuild_put_off locks
CREATE OR REPLACE FUNCTION headrace.stream_rebuild_put_off(
    p_stream text, p_items text[], p_code text, p_error text, p_seconds double precision DEFAULT 0
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_put_off text;
BEGIN
    SELECT s.rebuild_put_off INTO v_put_off FROM headrace.stream s WHERE s.stream = p_stream;
    IF v_put_off IS NOT NULL THEN
        EXECUTE format('SELECT %s($1, $2, $3, $4)', v_put_off) USING p_items, p_code, p_error, p_seconds;
    END IF;
END
$$;
