-- purpose: how many dead letters a stream has, and how many of them wait behind an earlier one of the same entity
-- grain:   one row; counted up to `most_counted`
-- reads:   headrace.dead_letter
-- writes:  nothing
-- locks:   none
SELECT
    count(*) AS "all",
    count(*) FILTER (WHERE l.status = 'waiting') AS waiting
FROM (
    SELECT d.status FROM headrace.dead_letter AS d
    WHERE d.stream = :stream
    LIMIT :most_counted -- noqa: AM09
) AS l
