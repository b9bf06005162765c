-- purpose: the first moment that no writer can be using yet: ten minutes from now, because clocks may be adjusted
-- grain:   one moment
-- reads:   the clock
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.first_fenceable_moment() RETURNS timestamptz
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT clock_timestamp() + interval '10 minutes'
$$;
