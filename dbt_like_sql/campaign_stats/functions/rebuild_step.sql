-- purpose: rebuilds campaigns that wait for it, then freezes those that have settled, until p_messages have been counted
-- grain:   one transaction's worth: at least one campaign; how many were tried, 0 where none waits or others have them
-- reads:   headrace.campaign
-- writes:  what rebuild_campaign_stats writes; where the data refuse, the error on the campaign's own row, and others go on
-- locks:   one campaign at a time is taken with SKIP LOCKED; more only while they are few and small
CREATE OR REPLACE FUNCTION headrace.rebuild_step(p_messages bigint DEFAULT 5000, p_patient boolean DEFAULT false) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_done integer := 0;
    v_counted bigint := 0;
    v_campaign uuid;
    v_code text;
    v_message text;
BEGIN
    LOOP
        SELECT c.campaign_id INTO v_campaign FROM headrace.campaign c
        WHERE (c.rebuild_requested_at IS NOT NULL OR c.state = 'settling' AND c.settles_until <= now())
            AND headrace.rebuild_due(c.rebuild_not_before, c.rebuild_error, p_patient)
        ORDER BY c.rebuild_requested_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        BEGIN
            PERFORM headrace.rebuild_campaign_stats(ARRAY[v_campaign]);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            IF NOT headrace.is_data_error(v_code) THEN
                RAISE;
            END IF;
            UPDATE headrace.campaign c SET
                rebuild_failures = c.rebuild_failures + 1, rebuild_error = v_code || ' ' || v_message,
                rebuild_not_before = clock_timestamp() + least(interval '1 minute' * 2 ^ least(c.rebuild_failures, 20), interval '1 day')
            WHERE c.campaign_id = v_campaign;
        END;
        v_done := v_done + 1;
        v_counted := v_counted + coalesce((SELECT sum(s.total) FROM headrace.campaign_template_stats s WHERE s.campaign_id = v_campaign), 0);
        EXIT WHEN v_counted >= p_messages OR v_done >= 100;
    END LOOP;
    RETURN v_done;
END
$$;
