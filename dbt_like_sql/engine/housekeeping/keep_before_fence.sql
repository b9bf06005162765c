-- purpose: trigger of a fenced DEFAULT: a change of fenced days is taken in as one of the moment before them, not refused
-- grain:   one row of change_log_default
-- reads:   the trigger's arguments: where the fence begins and ends, in seconds, which every session reads alike
-- writes:  changed_at of the row
-- locks:   none
--
-- Such a change comes only where whoever put the fence up died, and nobody took it away before its first day began.
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
