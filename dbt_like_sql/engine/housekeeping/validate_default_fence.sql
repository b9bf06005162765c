-- purpose: scans a fenced DEFAULT partition, without blocking writers, and validates the fence
-- grain:   the fence; true if it holds, false if DEFAULT has changes of its days or there is no fence
-- reads:   pg_constraint, all of headrace.change_log_default
-- writes:  marks the constraint valid
-- locks:   SHARE UPDATE EXCLUSIVE on change_log_default, which writers do not wait for
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
