-- purpose: how many campaigns are due to be rebuilt or frozen; one that failed is not before its next try
-- grain:   one number
-- reads:   headrace.campaign
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.rebuilds_pending() RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT count(*) FROM headrace.campaign
    WHERE (rebuild_requested_at IS NOT NULL OR state = 'settling' AND settles_until <= clock_timestamp())
        AND (rebuild_not_before IS NULL OR rebuild_not_before <= clock_timestamp())
$$;
