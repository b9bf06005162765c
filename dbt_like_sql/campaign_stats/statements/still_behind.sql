-- purpose: whether something that was there at a moment is not applied yet, or the stream stands still
-- grain:   one row
-- reads:   headrace.stream_lag
-- writes:  nothing
-- locks:   none
SELECT count(*) > 0 AS behind
FROM headrace.stream_lag AS l
WHERE
    l.stream = :stream
    AND (
        l.state <> 'active'
        OR (l.rows_behind > 0 OR l.more_behind) AND clock_timestamp() - make_interval(secs => l.seconds_behind) <= :began
    )
