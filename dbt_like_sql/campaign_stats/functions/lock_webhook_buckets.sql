-- purpose: locks buckets of message ids, so that two webhooks with the same id wait for each other
-- grain:   some of the 256 buckets; how many were locked
-- reads:   headrace.webhook_lock
-- writes:  headrace.webhook_lock, if a restore left out its rows
-- locks:   rows of headrace.webhook_lock, in order
CREATE OR REPLACE FUNCTION headrace.lock_webhook_buckets(p_buckets smallint[]) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_locked integer;
BEGIN
    PERFORM FROM headrace.webhook_lock l WHERE l.bucket = ANY (p_buckets) ORDER BY l.bucket FOR UPDATE;
    GET DIAGNOSTICS v_locked = ROW_COUNT;
    IF v_locked < cardinality(p_buckets) THEN
        INSERT INTO headrace.webhook_lock (bucket) SELECT b FROM generate_series(0, 255) b ON CONFLICT DO NOTHING;
        PERFORM FROM headrace.webhook_lock l WHERE l.bucket = ANY (p_buckets) ORDER BY l.bucket FOR UPDATE;
        GET DIAGNOSTICS v_locked = ROW_COUNT;
    END IF;
    RETURN v_locked;
END
$$;
