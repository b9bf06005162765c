-- purpose: retries refused webhook items and reports what became of them
-- grain:   one row: how many were stored, already there, or suppressed by a trigger; and why the others were refused again
-- reads:   what retry_webhook_rejects reads
-- writes:  what retry_webhook_rejects writes
-- locks:   what retry_webhook_rejects locks
SELECT
    coalesce(sum(r.stored), 0)::bigint AS stored,
    coalesce(sum(r.repeated), 0)::bigint AS repeated,
    coalesce(sum(r.suppressed), 0)::bigint AS suppressed,
    coalesce(array_agg(r.id || ': ' || r.reason ORDER BY r.id) FILTER (WHERE r.reason IS NOT NULL), '{}') AS refused
FROM headrace.retry_webhook_rejects(:rejects, :any_type) AS r
