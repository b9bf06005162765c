-- purpose: rebuilds campaigns that wait for it, and freezes those that have settled, until p_messages have been counted
-- grain:   one transaction's worth: at least one campaign; how many were tried, 0 if none is due or others hold them
-- reads:   what rebuild_pick and rebuild_items read
-- writes:  what rebuild_items writes; if one fails, what rebuild_put_off writes, and the others go on
-- locks:   what rebuild_pick locks
--
-- A worker does the same in separate statements (orchestration/engine/rebuilds.py), so that it can record even a time-out or a crash,
-- which end a statement.
CREATE OR REPLACE FUNCTION headrace.rebuild_step(p_messages bigint DEFAULT 5000, p_patient boolean DEFAULT false) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_items text[] := headrace.rebuild_pick(p_messages, p_patient);
    v_item text;
    v_began timestamptz;
    v_code text;
    v_message text;
BEGIN
    IF v_items = '{}' THEN
        RETURN 0;
    END IF;
    BEGIN
        IF cardinality(v_items) > 1 THEN
            RETURN headrace.rebuild_items(v_items);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then each is tried alone
    END;
    FOREACH v_item IN ARRAY v_items LOOP
        v_began := clock_timestamp();
        BEGIN
            PERFORM headrace.rebuild_items(ARRAY[v_item]);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            PERFORM headrace.rebuild_put_off(ARRAY[v_item], v_code, v_message, extract(EPOCH FROM clock_timestamp() - v_began));
        END;
    END LOOP;
    RETURN cardinality(v_items);
END
$$;
