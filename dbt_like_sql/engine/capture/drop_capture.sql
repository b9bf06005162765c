-- purpose: stops capturing a source table: drops its triggers, even those on other tables by now, and the functions they call
-- grain:   one source; the number of triggers dropped
-- reads:   pg_trigger, pg_proc
-- writes:  drops triggers "!headrace_<op>" and functions headrace.capture_<source>_<op>; headrace.source
-- locks:   ACCESS EXCLUSIVE on the tables that have the triggers
CREATE OR REPLACE FUNCTION headrace.drop_capture(p_source text) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_functions constant oid[] := ARRAY(
        SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = 'headrace'::regnamespace AND p.prorettype = 'trigger'::regtype
            AND p.proname = ANY (ARRAY(SELECT 'capture_' || p_source || '_' || o FROM unnest(ARRAY['insert', 'update', 'delete', 'truncate']) o)));
    v_statement text;
    v_dropped integer := 0;
BEGIN
    FOR v_statement IN
        SELECT format('DROP TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass) FROM pg_trigger g
        WHERE g.tgfoid = ANY (v_functions) AND g.tgparentid = 0 ORDER BY g.tgrelid, g.tgname
    LOOP
        EXECUTE v_statement;
        v_dropped := v_dropped + 1;
    END LOOP;
    FOR v_statement IN SELECT format('DROP FUNCTION %s', f::regprocedure) FROM unnest(v_functions) f LOOP
        EXECUTE v_statement;
    END LOOP;
    DELETE FROM headrace.source s WHERE s.source IN (p_source, p_source || ' others');
    RETURN v_dropped;
END
$$;
