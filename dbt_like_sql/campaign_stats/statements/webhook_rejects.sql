-- purpose: webhook items that were not taken in, by reason
-- grain:   one row per reason, the most frequent first, at most `most`; with the totals of reasons, items and deliveries
-- reads:   headrace.webhook_reject, at most 100,000 rows: a check should not read millions
-- writes:  nothing
-- locks:   none
SELECT
    r.reason,
    count(*) AS items,
    sum(r.times)::bigint AS times,
    min(r.first_at) AS first_at,
    max(r.last_at) AS last_at,
    (array_agg(r.id ORDER BY r.last_at DESC))[1:(:examples)]::text[] AS examples,
    count(*) OVER () AS all_reasons,
    sum(count(*)) OVER ()::bigint AS all_items,
    sum(sum(r.times)) OVER ()::bigint AS all_times
FROM (SELECT * FROM headrace.webhook_reject WHERE NOT notice LIMIT 100000) AS r -- noqa: AM09, LT14
GROUP BY r.reason
ORDER BY count(*) DESC, r.reason ASC
LIMIT :most
