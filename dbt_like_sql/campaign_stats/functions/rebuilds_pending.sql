-- purpose: how many campaigns are due to be rebuilt or frozen, or to get their documents written
-- grain:   one number, counted up to p_most; p_patient: without campaigns that are put off to collect late changes
-- reads:   headrace.campaign, by the indexes that rebuild_pick uses, so that campaigns put off are not read
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.rebuilds_pending(p_patient boolean DEFAULT false, p_most bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_upto constant timestamptz := CASE WHEN p_patient THEN v_now ELSE 'infinity' END;
BEGIN
    RETURN (
        SELECT count(*) FROM (
            SELECT FROM headrace.campaign c
            WHERE c.rebuild_requested_at IS NOT NULL AND c.rebuild_error IS NULL
                AND coalesce(c.rebuild_not_before, c.rebuild_requested_at) <= v_upto
            UNION ALL
            SELECT FROM headrace.campaign c WHERE c.state = 'settling' AND c.rebuild_requested_at IS NULL AND c.settles_until <= v_now
            UNION ALL
            SELECT FROM headrace.campaign c WHERE c.document_due_at <= v_upto
            UNION ALL
            SELECT FROM headrace.campaign c
            WHERE c.rebuild_requested_at IS NOT NULL AND c.rebuild_error IS NOT NULL
                AND coalesce(c.rebuild_not_before, c.rebuild_requested_at) <= v_now
            LIMIT p_most
        ) u
    );
END
$$;
