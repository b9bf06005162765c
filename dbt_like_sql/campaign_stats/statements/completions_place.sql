-- purpose: where and up to what this transaction sees completions: time, cluster, database, snapshot
-- grain:   one row; the last column: whether the stream is registered. A snapshot that lists more than :most transactions is cut to an older one
-- reads:   pg_control_system, headrace.stream_cursor
-- writes:  nothing
-- locks:   none
SELECT
    clock_timestamp() AS now,
    (SELECT c.system_identifier FROM pg_control_system() AS c) AS cluster,
    current_database() AS database,
    CASE
        WHEN cardinality(o.running) > :most
            THEN format('%s:%s:%s', pg_snapshot_xmin(s.now), o.running[:most + 1], array_to_string(o.running[1:(:most)], ','))
        ELSE s.now::text
    END AS snapshot,
    EXISTS(
        SELECT FROM headrace.stream_cursor AS c
        WHERE c.stream = :stream
    ) AS active
FROM (SELECT pg_current_snapshot() AS now) AS s
CROSS JOIN LATERAL (
    SELECT array_agg(x ORDER BY x) AS running FROM pg_snapshot_xip(s.now) AS x
) AS o
