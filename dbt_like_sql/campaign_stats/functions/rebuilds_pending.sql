-- purpose: how many campaigns are due to be rebuilt or frozen
-- grain:   one number; p_patient: without amendments that are put off (rebuild_due)
-- reads:   headrace.campaign
-- writes:  nothing
-- locks:   none
--
-- now(), not clock_timestamp(): an index finds those that have settled, however many others are settling.
CREATE OR REPLACE FUNCTION headrace.rebuilds_pending(p_patient boolean DEFAULT false) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT count(*) FROM headrace.campaign c
    WHERE (c.rebuild_requested_at IS NOT NULL OR c.state = 'settling' AND c.settles_until <= now())
        AND headrace.rebuild_due(c.rebuild_not_before, c.rebuild_error, p_patient)
$$;
