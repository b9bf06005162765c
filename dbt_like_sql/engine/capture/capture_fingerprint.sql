-- purpose: identifies what a trigger function does: changes with its body, its SECURITY DEFINER or its settings
-- grain:   one function; an md5
-- reads:   pg_proc
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.capture_fingerprint(p_function oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT md5(jsonb_build_array(p.prosrc, p.prosecdef, p.proconfig)::text) FROM pg_proc p WHERE p.oid = p_function
$$;
