-- purpose: rebuilds the next campaigns that wait for it, oldest request first, until p_messages have been counted
-- grain:   one transaction's worth: at least one campaign; how many were rebuilt, 0 where none waits or others have them
-- reads:   headrace.campaign
-- writes:  what rebuild_campaign_stats writes
-- locks:   one campaign at a time is taken with SKIP LOCKED; more only while they are few and small
CREATE OR REPLACE FUNCTION headrace.rebuild_step(p_messages bigint DEFAULT 5000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_done integer := 0;
    v_counted bigint := 0;
    v_campaign uuid;
BEGIN
    LOOP
        SELECT c.campaign_id INTO v_campaign FROM headrace.campaign c
        WHERE c.rebuild_requested_at IS NOT NULL
        ORDER BY c.rebuild_requested_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        PERFORM headrace.rebuild_campaign_stats(ARRAY[v_campaign]);
        v_done := v_done + 1;
        v_counted := v_counted + coalesce((SELECT sum(s.total) FROM headrace.campaign_template_stats s WHERE s.campaign_id = v_campaign), 0);
        EXIT WHEN v_counted >= p_messages OR v_done >= 100;
    END LOOP;
    RETURN v_done;
END
$$;
