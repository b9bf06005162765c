-- purpose: deletes refused webhook items, by an operator's decision
-- grain:   the rejects named; how many were deleted
-- reads:   nothing
-- writes:  headrace.webhook_reject
-- locks:   the rejects' rows
CREATE OR REPLACE FUNCTION headrace.discard_webhook_rejects(p_ids bigint[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH gone AS (DELETE FROM headrace.webhook_reject WHERE id = ANY (p_ids) RETURNING 1)
    SELECT count(*) FROM gone
$$;
