-- purpose: how far a stream is behind, and whether it is stopped
-- grain:   one row: shards (0: it is not registered), rows, seconds, stopped
-- reads:   headrace.stream_lag
-- writes:  nothing
-- locks:   none
SELECT
    count(*) AS shards,
    coalesce(sum(l.rows_behind + l.more_behind::integer), 0)::bigint AS rows_behind,
    coalesce(max(l.seconds_behind), 0) AS seconds_behind,
    bool_or(l.state <> 'active') AS stopped
FROM headrace.stream_lag AS l
WHERE l.stream = :stream
