-- purpose: adds counts of values to those of a block of campaign_latency; negative ones subtract
-- grain:   one block; vals are sorted and unique; values whose count becomes zero are removed
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- One value at a time, by binary search: a batch brings a block only a few values, while the block may hold hundreds.
CREATE OR REPLACE FUNCTION headrace.merge_counts(
    INOUT vals integer[], INOUT counts integer[], p_more_values integer[], p_more_counts integer[]
)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_place integer;
BEGIN
    FOR i IN 1 .. cardinality(p_more_values) LOOP
        v_place := width_bucket(p_more_values[i], vals);  -- how many are less or equal
        IF v_place = 0 OR vals[v_place] <> p_more_values[i] THEN
            vals := vals[:v_place] || p_more_values[i] || vals[v_place + 1:];
            counts := counts[:v_place] || p_more_counts[i] || counts[v_place + 1:];
        ELSIF counts[v_place] + p_more_counts[i] = 0 THEN
            vals := vals[:v_place - 1] || vals[v_place + 1:];
            counts := counts[:v_place - 1] || counts[v_place + 1:];
        ELSE
            counts[v_place] := counts[v_place] + p_more_counts[i];
        END IF;
    END LOOP;
END
$$;
