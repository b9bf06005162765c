-- purpose: what a trigger function does, in a word: body, whose rights it has, settings; another one where any of it was changed
-- grain:   one function
-- reads:   pg_proc
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.capture_fingerprint(p_function oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT md5(jsonb_build_array(p.prosrc, p.prosecdef, p.proconfig)::text) FROM pg_proc p WHERE p.oid = p_function
$$;
