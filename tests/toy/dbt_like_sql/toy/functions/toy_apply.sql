-- purpose: the handler of stream toy
-- grain:   one batch; how many phones
-- reads:   what toy_count reads
-- writes:  what toy_count and toy_request_all write
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.toy_apply(p_changes headrace.change_log[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM unnest(p_changes) c WHERE c.op IN ('T', 'X')) THEN
        PERFORM headrace.toy_request_all();
    END IF;
    RETURN headrace.toy_count(ARRAY(
        SELECT DISTINCT s.value ->> k.key FROM unnest(p_changes) c
        CROSS JOIN LATERAL jsonb_each(c.data) s (side, value) CROSS JOIN (VALUES ('phone'), ('user_phone')) k (key)
        WHERE s.value ->> k.key IS NOT NULL));
END
$$;
