-- purpose: makes frozen campaigns live again; a completed one settles again, for the whole window
-- grain:   the campaigns named; how many were reopened (campaigns that are not frozen stay as they are)
-- reads:   stg_campaigns, headrace.campaign, and what amend_campaign and rebuild_campaign_stats read
-- writes:  what amend_campaign and rebuild_campaign_stats write; the frozen version is kept on record
-- locks:   the campaigns' own rows, in id order, before the source is read
CREATE OR REPLACE FUNCTION headrace.reopen_campaigns(p_campaigns uuid[], p_accept_fewer_rows boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_missing uuid;
    v_campaign uuid;
    v_status text;
    v_reopened bigint := 0;
BEGIN
    SELECT id INTO v_missing FROM unnest(p_campaigns) id
    WHERE NOT EXISTS (SELECT FROM headrace.stg_campaigns() c WHERE c.campaign_id = id) ORDER BY id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no campaign %', v_missing USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM headrace.lock_campaigns(p_campaigns);
    FOR v_campaign, v_status IN
        SELECT k.campaign_id, coalesce(c.status, '') FROM headrace.campaign k INNER JOIN headrace.stg_campaigns() c ON c.campaign_id = k.campaign_id
        WHERE k.campaign_id = ANY (p_campaigns) AND k.state IN ('frozen', 'amended') ORDER BY k.campaign_id
    LOOP
        IF headrace.amend_campaign(v_campaign, v_status, coalesce(p_accept_fewer_rows, false), true) IS NULL THEN
            RAISE object_not_in_prerequisite_state USING MESSAGE =
                'campaign ' || v_campaign || ' has fewer source rows than when it was frozen, reopened it would lack them: '
                'restore them, or accept that with --accept-fewer-rows (p_accept_fewer_rows => true)';
        END IF;
        PERFORM headrace.rebuild_campaign_stats(ARRAY[v_campaign]);
        v_reopened := v_reopened + 1;
    END LOOP;
    RETURN v_reopened;
END
$$;
