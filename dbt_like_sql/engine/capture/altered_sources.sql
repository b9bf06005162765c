-- purpose: source tables that are no longer as noted; workers ask this now and then
-- grain:   one row per source that differs; problem: why it cannot be read; null: it can, and note_altered_source should look at it
-- reads:   headrace.source, and what source_mark and source_problems read
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.altered_sources(p_sources text[] DEFAULT NULL) RETURNS TABLE (source text, problem text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    FOR source IN
        SELECT s.source FROM headrace.source s
        WHERE (p_sources IS NULL AND s.triggers <> '{}' OR s.source = ANY (p_sources))
            AND s.mark <> coalesce(headrace.source_mark(s.schema_name, s.table_name, ARRAY(SELECT jsonb_object_keys(s.columns))), '')
        ORDER BY s.source
    LOOP
        SELECT p.what || '; run: ' || p.remedy INTO problem FROM headrace.source_problems(ARRAY[altered_sources.source]) p LIMIT 1;
        RETURN NEXT;
    END LOOP;
END
$$;
