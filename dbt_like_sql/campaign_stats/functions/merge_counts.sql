-- purpose: adds counts of values to others: what a block of campaign_latency holds after some of its latencies came and went
-- grain:   one block; values in order, each once; without those of which none is left
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.merge_counts(
    p_values integer[], p_counts integer[], p_more_values integer[], p_more_counts integer[], OUT vals integer[], OUT counts integer[]
)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(m.value ORDER BY m.value), '{}'), coalesce(array_agg(m.n ORDER BY m.value), '{}')
    FROM (
        SELECT c.value, sum(c.n)::integer AS n
        FROM (
            SELECT * FROM unnest(p_values, p_counts)
            UNION ALL
            SELECT * FROM unnest(p_more_values, p_more_counts)
        ) c (value, n)
        GROUP BY c.value HAVING sum(c.n) <> 0
    ) m
$$;
