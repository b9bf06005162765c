-- purpose: takes parts of webhooks in again, and says what came of them
-- grain:   one row: how many were stored, were there already, were suppressed by a trigger; and why others are refused again
-- reads:   nothing
-- writes:  what retry_webhook_rejects writes
-- locks:   what retry_webhook_rejects locks
SELECT
    coalesce(sum(r.stored), 0)::bigint AS stored,
    coalesce(sum(r.repeated), 0)::bigint AS repeated,
    coalesce(sum(r.suppressed), 0)::bigint AS suppressed,
    coalesce(array_agg(r.id || ': ' || r.reason ORDER BY r.id) FILTER (WHERE r.reason IS NOT NULL), '{}') AS refused
FROM headrace.retry_webhook_rejects(:rejects, :any_type) AS r
