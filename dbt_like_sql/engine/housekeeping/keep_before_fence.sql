-- purpose: trigger of a fenced DEFAULT: a change of the fenced days is stored just before them, not refused
-- grain:   one row of change_log_default
-- reads:   the trigger's arguments: beginning and end of the fence in epoch seconds, which do not depend on session settings
-- writes:  changed_at of the row
-- locks:   none
--
-- Such a change comes only if the session that put up the fence died, and nobody removed it before its first day began.
CREATE OR REPLACE FUNCTION headrace.keep_before_fence() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.changed_at >= to_timestamp(TG_ARGV[0]::double precision) AND NEW.changed_at < to_timestamp(TG_ARGV[1]::double precision) THEN
        NEW.changed_at := to_timestamp(TG_ARGV[0]::double precision) - interval '1 microsecond';
    END IF;
    RETURN NEW;
END
$$;
