-- purpose: counts phones from the source rows
-- grain:   the phones named; how many
-- reads:   toy_counts
-- writes:  headrace.toy_tally
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.toy_count(p_phones text[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7, 7);
    DELETE FROM headrace.toy_tally t WHERE t.phone = ANY (p_phones);
    INSERT INTO headrace.toy_tally SELECT c.* FROM headrace.toy_counts(ARRAY(SELECT DISTINCT u FROM unnest(p_phones) u WHERE u IS NOT NULL)) c
    WHERE c.orders + c.outgoing + c.failures > 0;
    DELETE FROM headrace.toy_request r WHERE r.phone = ANY (p_phones);
    RETURN cardinality(p_phones);
END
$$;
