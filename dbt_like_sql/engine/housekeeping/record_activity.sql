-- purpose: adds to the count of changed rows per asset and partition day, which sensor stream_backlog reports
-- grain:   one row per asset and UTC day
-- reads:   nothing
-- writes:  headrace.activity
-- locks:   the rows, in day order
CREATE OR REPLACE FUNCTION headrace.record_activity(p_assets text[], p_days date[], p_rows bigint[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    INSERT INTO headrace.activity AS a (asset, partition_day, rows_changed, changed_at)
    SELECT s.asset, d.day, sum(d.n), clock_timestamp()
    FROM unnest(p_assets) s (asset) CROSS JOIN unnest(p_days, p_rows) d (day, n)
    GROUP BY s.asset, d.day ORDER BY s.asset, d.day
    ON CONFLICT (asset, partition_day) DO UPDATE SET
        rows_changed = a.rows_changed + excluded.rows_changed, changed_at = excluded.changed_at
$$;
