-- purpose: deletes dead letters, by an operator's decision
-- grain:   the letters named; how many were deleted
-- reads:   nothing
-- writes:  headrace.dead_letter
-- locks:   the letters' rows
CREATE OR REPLACE FUNCTION headrace.dead_letter_discard(p_ids bigint[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH gone AS (DELETE FROM headrace.dead_letter WHERE id = ANY (p_ids) RETURNING 1)
    SELECT count(*) FROM gone
$$;
