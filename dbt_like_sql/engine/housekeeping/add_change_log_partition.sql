-- purpose: creates a UTC day's partition of the change log: as a separate table first, then attached without getting in a writer's way
-- grain:   one partition; true if it was created, false if it exists or its day stays in DEFAULT
-- reads:   pg_constraint, headrace.change_log_default if that is small
-- writes:  headrace.change_log_<yyyymmdd>
-- locks:   SHARE UPDATE EXCLUSIVE on change_log, ACCESS EXCLUSIVE on change_log_default; for a day that has begun or is about to, also on
--          change_log. Given up after 80 and 20 ms; held for an instant
--
-- A row is routed to its partition before its writer waits for the partition's lock. So attaching beside writers is safe only for a
-- day that nobody can be routed to yet; for today all writers must be kept out for an instant. ATTACH also scans DEFAULT under its
-- exclusive lock unless a CHECK excludes the day: a large DEFAULT must be fenced (fence_change_log_default), and a day that has begun
-- stays in DEFAULT.
CREATE OR REPLACE FUNCTION headrace.add_change_log_partition(p_day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET lock_timeout = '80ms'
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    v_today constant date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    v_name constant text := 'change_log_' || to_char(p_day, 'YYYYMMDD');
    v_from constant timestamptz := p_day::timestamp AT TIME ZONE 'UTC';
    v_to constant timestamptz := (p_day + 1)::timestamp AT TIME ZONE 'UTC';
    v_near constant boolean := v_from < headrace.first_fenceable_moment();
BEGIN
    IF p_day NOT BETWEEN v_today - 31 AND v_today + 31 THEN
        RAISE EXCEPTION 'the change log has no partition for %: only for days at most 31 days from today', p_day
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- ATTACH takes this lock below. Taken before we look, so that of two sessions one waits and then finds the partition.
    LOCK TABLE ONLY headrace.change_log IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass('headrace.' || v_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF headrace.default_is_large() AND (v_near OR NOT EXISTS (
        SELECT FROM pg_constraint c
        WHERE c.conrelid = 'headrace.change_log_default'::regclass AND c.conname ~ '^fence_[0-9]{8}_[0-9]{8}$' AND c.convalidated
            AND to_date(split_part(c.conname, '_', 2), 'YYYYMMDD') <= p_day AND to_date(split_part(c.conname, '_', 3), 'YYYYMMDD') > p_day))
    THEN
        RETURN false;
    END IF;
    BEGIN
        EXECUTE format('CREATE TABLE headrace.%I (LIKE headrace.change_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', v_name);
        -- It has no key: under a publication of all tables its rows could otherwise not be moved or deleted.
        EXECUTE format('ALTER TABLE headrace.%I REPLICA IDENTITY FULL', v_name);
        EXECUTE format('ALTER TABLE headrace.%I ADD CONSTRAINT %I CHECK (changed_at >= %L AND changed_at < %L)', v_name, v_name || '_day', v_from, v_to);
        IF v_near THEN
            LOCK TABLE ONLY headrace.change_log IN ACCESS EXCLUSIVE MODE;
        END IF;
        PERFORM set_config('lock_timeout', '20ms', true);
        EXECUTE format('ALTER TABLE headrace.change_log ATTACH PARTITION headrace.%I FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_to);
        EXECUTE format('ALTER TABLE headrace.%I DROP CONSTRAINT %I', v_name, v_name || '_day');
    EXCEPTION WHEN check_violation THEN
        RETURN false;  -- DEFAULT holds changes of that day
    END;
    RETURN true;
END
$$;
