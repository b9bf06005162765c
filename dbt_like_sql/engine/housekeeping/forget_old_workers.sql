-- purpose: deletes the rows of workers that have not reported for a day
-- grain:   one call; the number of rows deleted
-- reads:   headrace.worker
-- writes:  headrace.worker
-- locks:   the rows it deletes
CREATE OR REPLACE FUNCTION headrace.forget_old_workers() RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH removed AS (DELETE FROM headrace.worker WHERE seen_at < now() - interval '1 day' RETURNING 1)
    SELECT count(*) FROM removed
$$;
