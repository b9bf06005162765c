-- purpose: removes the fence of the change log's DEFAULT partition, even one that a crashed session left behind
-- grain:   the fence; whether there was one
-- reads:   pg_constraint, pg_trigger
-- writes:  drops constraint fence_<first>_<end> and trigger fence of change_log_default
-- locks:   ACCESS EXCLUSIVE on change_log_default if there is one, given up after 80 ms; held for an instant
CREATE OR REPLACE FUNCTION headrace.remove_default_fence() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET lock_timeout = '80ms'
AS $$
DECLARE
    v_name text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'headrace.change_log_default'::regclass AND tgname = 'fence') THEN
        RETURN false;
    END IF;
    LOCK TABLE headrace.change_log_default IN ACCESS EXCLUSIVE MODE;
    FOR v_name IN
        SELECT conname FROM pg_constraint WHERE conrelid = 'headrace.change_log_default'::regclass AND starts_with(conname::text, 'fence_')
    LOOP
        EXECUTE format('ALTER TABLE headrace.change_log_default DROP CONSTRAINT %I', v_name);
    END LOOP;
    DROP TRIGGER IF EXISTS fence ON headrace.change_log_default;
    RETURN true;
END
$$;
