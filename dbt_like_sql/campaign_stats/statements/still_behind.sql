-- purpose: whether a stream has still to apply something that was there at :began, or is stopped
-- grain:   one row
-- reads:   headrace.stream_lag
-- writes:  nothing
-- locks:   none
SELECT EXISTS(
    SELECT FROM headrace.stream_lag AS l
    WHERE
        l.stream = :stream
        AND (l.state <> 'active' OR (l.rows_behind > 0 OR l.more_behind) AND clock_timestamp() - make_interval(secs => l.seconds_behind) <= :began)
) AS behind
