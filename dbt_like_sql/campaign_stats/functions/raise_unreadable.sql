-- purpose: raises an error from reading the application's tables as a plain sentence with its remedy
-- grain:   one error (HR001); returns if the error is about something else, which the caller then raises unchanged
-- reads:   unreadable
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.raise_unreadable(p_sources text[], p_state text, p_message text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_why constant text := headrace.unreadable(p_sources, p_state, p_message);
BEGIN
    IF v_why IS NOT NULL THEN
        RAISE EXCEPTION '%', v_why USING ERRCODE = 'HR001';
    END IF;
END
$$;
