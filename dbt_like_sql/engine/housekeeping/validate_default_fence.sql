-- purpose: reads a fenced DEFAULT partition, beside its writers, and finds that the fence holds
-- grain:   the fence; true where it holds, false where DEFAULT has changes of its days, or there is none
-- reads:   headrace.change_log_default, as a whole
-- writes:  marks the constraint valid
-- locks:   SHARE UPDATE EXCLUSIVE on change_log_default: writers go on
CREATE OR REPLACE FUNCTION headrace.validate_default_fence() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET lock_timeout = '80ms'
AS $$
DECLARE
    v_name text;
BEGIN
    SELECT conname INTO v_name FROM pg_constraint
    WHERE conrelid = 'headrace.change_log_default'::regclass AND starts_with(conname::text, 'fence_');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('ALTER TABLE headrace.change_log_default VALIDATE CONSTRAINT %I', v_name);
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RETURN false;
END
$$;
