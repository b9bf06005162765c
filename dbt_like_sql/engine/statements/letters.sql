-- purpose: a stream's oldest dead letters, for display
-- grain:   one row per dead letter, at most `most`
-- reads:   headrace.dead_letter
-- writes:  nothing
-- locks:   none
--
-- Ids first: letters may be large, and only those that are shown need reading.
SELECT
    l.id,
    (l.change).source AS source,
    (l.change).op::text AS operation,
    left(l.entity_id, 200) AS entity,
    l.status,
    l.attempts,
    l.first_failed_at,
    l.next_try_at,
    l.error_code || ' ' || left(l.error, 1000) AS error
FROM (
    SELECT d.id FROM headrace.dead_letter AS d
    WHERE d.stream = :stream
    ORDER BY d.first_failed_at, d.id LIMIT :most
) AS oldest
INNER JOIN headrace.dead_letter AS l ON oldest.id = l.id
ORDER BY l.first_failed_at, l.id
