-- purpose: all streams, for display: how far behind they are, what waits to be rebuilt, which session holds them back
-- grain:   one row per stream and shard
-- reads:   headrace.stream_lag, stream_rebuilds
-- writes:  nothing
-- locks:   none
SELECT
    l.stream,
    l.shard,
    l.state,
    CASE WHEN l.more_behind THEN to_char(l.rows_behind, 'FM999,999,999,999') || '+' ELSE l.rows_behind::text END AS rows_behind,
    round(l.seconds_behind::numeric, 1) AS seconds_behind,
    r.waiting AS to_rebuild,
    l.oldest_writer_pid,
    l.changes_applied
FROM headrace.stream_lag AS l
LEFT JOIN headrace.stream_rebuilds() AS r ON l.stream = r.stream
ORDER BY l.stream, l.shard
