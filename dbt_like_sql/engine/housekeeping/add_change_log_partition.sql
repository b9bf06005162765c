-- purpose: makes the change log's partition of one UTC day, standalone first, then attached; moves in what DEFAULT holds of it
-- grain:   one partition
-- reads:   headrace.change_log_default
-- writes:  headrace.change_log_<yyyymmdd>; true where it was made, false where it was there
-- locks:   SHARE UPDATE EXCLUSIVE on change_log, ACCESS EXCLUSIVE on change_log_default, given up after 100 ms
CREATE OR REPLACE FUNCTION headrace.add_change_log_partition(p_day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_name constant text := 'change_log_' || to_char(p_day, 'YYYYMMDD');
    v_from constant timestamptz := p_day::timestamp AT TIME ZONE 'UTC';
    v_to constant timestamptz := (p_day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    -- What ATTACH takes below, but before looking: of two that make the partition at once, one waits and then finds it.
    LOCK TABLE ONLY headrace.change_log IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass('headrace.' || v_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE headrace.%I (LIKE headrace.change_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', v_name);
    -- Without a key: a publication of all tables would otherwise refuse to move or delete its rows.
    EXECUTE format('ALTER TABLE headrace.%I REPLICA IDENTITY FULL', v_name);
    EXECUTE format('ALTER TABLE headrace.%I ADD CONSTRAINT %I CHECK (changed_at >= %L AND changed_at < %L)', v_name, v_name || '_day', v_from, v_to);
    IF EXISTS (SELECT FROM headrace.change_log_default WHERE changed_at >= v_from AND changed_at < v_to) THEN
        LOCK TABLE headrace.change_log_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format(
            'WITH moved AS (DELETE FROM headrace.change_log_default WHERE changed_at >= $1 AND changed_at < $2 RETURNING *)'
            || ' INSERT INTO headrace.%I SELECT * FROM moved', v_name) USING v_from, v_to;
    END IF;
    EXECUTE format('ALTER TABLE headrace.change_log ATTACH PARTITION headrace.%I FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_to);
    EXECUTE format('ALTER TABLE headrace.%I DROP CONSTRAINT %I', v_name, v_name || '_day');
    RETURN true;
END
$$;
