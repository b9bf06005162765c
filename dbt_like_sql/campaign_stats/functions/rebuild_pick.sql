-- purpose: picks and locks the next campaigns for rebuild_items: to be rebuilt or frozen together, or to get their documents written
-- grain:   ids as text: small campaigns up to p_messages in all, or a larger one alone; empty if none is due or others hold them
-- reads:   headrace.campaign, stg_send_queue
-- writes:  nothing
-- locks:   the campaigns' own rows, one by one, with SKIP LOCKED, so that workers do not wait for each other
--
-- Each pick reads an index in the order in which campaigns are due, only as far as needed. A campaign that failed before is tried
-- alone, and only if nothing else waits, so that it never holds up others. p_patient: see rebuilds_pending.
CREATE OR REPLACE FUNCTION headrace.rebuild_pick(p_messages bigint DEFAULT 5000, p_patient boolean DEFAULT false) RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_upto constant timestamptz := CASE WHEN p_patient THEN v_now ELSE 'infinity' END;
    v_requested CURSOR FOR
        SELECT c.campaign_id FROM headrace.campaign c
        WHERE c.rebuild_requested_at IS NOT NULL AND c.rebuild_error IS NULL
            AND coalesce(c.rebuild_not_before, c.rebuild_requested_at) <= v_upto
        ORDER BY coalesce(c.rebuild_not_before, c.rebuild_requested_at) FOR NO KEY UPDATE SKIP LOCKED;
    v_settled CURSOR FOR
        SELECT c.campaign_id FROM headrace.campaign c
        WHERE c.state = 'settling' AND c.rebuild_requested_at IS NULL AND c.settles_until <= v_now
        ORDER BY c.settles_until FOR NO KEY UPDATE SKIP LOCKED;
    v_most_requested constant integer := 200;
    v_most_settled constant integer := 20;
    v_picked text[] := '{}';
    v_campaign uuid;
    v_size bigint;
    v_counted bigint := 0;
BEGIN
    SELECT c.campaign_id INTO v_campaign FROM headrace.campaign c WHERE c.document_due_at <= v_upto
    ORDER BY c.document_due_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        v_picked := v_picked || v_campaign::text;
    END IF;
    OPEN v_settled;
    LOOP
        FETCH v_settled INTO v_campaign;
        EXIT WHEN NOT FOUND;
        v_size := (SELECT count(*) FROM (SELECT FROM headrace.stg_send_queue() q WHERE q.campaign_id = v_campaign LIMIT p_messages + 1) u);
        EXIT WHEN v_counted > 0 AND v_counted + v_size > p_messages;
        v_picked := v_picked || v_campaign::text;
        v_counted := v_counted + greatest(v_size, 1);
        EXIT WHEN v_counted >= p_messages OR cardinality(v_picked) >= v_most_settled;
    END LOOP;
    CLOSE v_settled;
    IF v_counted < p_messages THEN
        OPEN v_requested;
        LOOP
            FETCH v_requested INTO v_campaign;
            EXIT WHEN NOT FOUND;
            v_size := (SELECT count(*) FROM (SELECT FROM headrace.stg_send_queue() q WHERE q.campaign_id = v_campaign LIMIT p_messages + 1) u);
            EXIT WHEN v_counted > 0 AND v_counted + v_size > p_messages;
            v_picked := v_picked || v_campaign::text;
            v_counted := v_counted + greatest(v_size, 1);
            EXIT WHEN v_counted >= p_messages OR cardinality(v_picked) >= v_most_requested;
        END LOOP;
        CLOSE v_requested;
    END IF;
    IF v_picked = '{}' THEN
        SELECT c.campaign_id INTO v_campaign FROM headrace.campaign c
        WHERE c.rebuild_requested_at IS NOT NULL AND c.rebuild_error IS NOT NULL
            AND coalesce(c.rebuild_not_before, c.rebuild_requested_at) <= v_now
        ORDER BY coalesce(c.rebuild_not_before, c.rebuild_requested_at) LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            v_picked := v_picked || v_campaign::text;
        END IF;
    END IF;
    RETURN v_picked;
END
$$;
