-- purpose: when a dead letter is retried automatically: after 1, 2, 4 ... minutes, at most a day; never after ten tries
-- grain:   one number of attempts made so far
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.dead_letter_next_try(p_attempts integer) RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN p_attempts < 10 THEN now() + least(interval '1 minute' * 2 ^ (p_attempts - 1), interval '1 day') END
$$;
