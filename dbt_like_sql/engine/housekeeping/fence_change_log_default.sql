-- purpose: guarantees that a large DEFAULT partition gets no changes of the days p_first to p_last, so that ATTACH need not scan it
-- grain:   one fence: a CHECK that is NOT VALID yet, and a trigger so that it refuses no write; returns fenced, small (none needed) or busy
-- reads:   pg_constraint, default_is_large
-- writes:  constraint fence_<first>_<end> and trigger fence of change_log_default
-- locks:   ACCESS EXCLUSIVE on change_log_default, given up after 80 ms; held for an instant
--
-- The steps, each in its own transaction: fence_change_log_default, validate_default_fence, add_change_log_partition for each day,
-- remove_default_fence. A fence that was left behind is removed by the next housekeeping.
CREATE OR REPLACE FUNCTION headrace.fence_change_log_default(p_first date, p_last date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET lock_timeout = '80ms'
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    v_name constant text := 'fence_' || to_char(p_first, 'YYYYMMDD') || '_' || to_char(p_last + 1, 'YYYYMMDD');
    v_today constant date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    v_from constant timestamptz := p_first::timestamp AT TIME ZONE 'UTC';
    v_to constant timestamptz := (p_last + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF NOT headrace.default_is_large() THEN
        RETURN 'small';
    END IF;
    IF p_last < p_first OR p_last > p_first + 31 OR p_last > v_today + 62 OR v_from < headrace.first_fenceable_moment() THEN
        RAISE EXCEPTION 'DEFAULT cannot be fenced from % to %: only for days to come, at most 31', p_first, p_last
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE headrace.change_log_default IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'headrace.change_log_default'::regclass AND starts_with(conname::text, 'fence_')) THEN
        RETURN 'busy';  -- another session's fence
    END IF;
    EXECUTE format(
        'CREATE TRIGGER fence BEFORE INSERT ON headrace.change_log_default FOR EACH ROW EXECUTE FUNCTION headrace.keep_before_fence(%s, %s)',
        extract(EPOCH FROM v_from)::bigint, extract(EPOCH FROM v_to)::bigint);
    ALTER TABLE headrace.change_log_default ENABLE ALWAYS TRIGGER fence;
    EXECUTE format(
        'ALTER TABLE headrace.change_log_default ADD CONSTRAINT %I CHECK (changed_at < %L OR changed_at >= %L) NOT VALID', v_name, v_from, v_to);
    RETURN 'fenced';
END
$$;
