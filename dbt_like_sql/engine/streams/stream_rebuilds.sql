-- purpose: how much of what streams derive still waits to be recomputed: the progress of a rebuild
-- grain:   one row per stream that can be rebuilt; waiting is in the stream's own unit, such as campaigns
-- reads:   headrace.stream, and what the stream's rebuilds_pending reads
-- writes:  nothing
-- locks:   none
--
-- p_patient: leave out what the stream would rather put off.
CREATE OR REPLACE FUNCTION headrace.stream_rebuilds(
    p_streams text[] DEFAULT NULL, p_patient boolean DEFAULT false
) RETURNS TABLE (stream text, waiting bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_pending text;
BEGIN
    FOR stream, v_pending IN
        SELECT s.stream, s.rebuilds_pending FROM headrace.stream s
        WHERE s.rebuilds_pending IS NOT NULL AND (p_streams IS NULL OR s.stream = ANY (p_streams)) ORDER BY s.stream
    LOOP
        EXECUTE format('SELECT %s(p_patient => $1)', v_pending) INTO waiting USING p_patient;
        RETURN NEXT;
    END LOOP;
END
$$;
