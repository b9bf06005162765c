-- purpose: how far each shard of each stream is behind, and which writer holds it back
-- grain:   one row per stream and shard; more_behind: rows_behind is a lower bound
-- reads:   headrace.stream_cursor, changes_behind, oldest_writer
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE VIEW headrace.stream_lag AS
SELECT
    k.stream,
    k.shard,
    CASE
        WHEN
            k.system_identifier <> (SELECT system_identifier FROM pg_control_system())
            OR k.database_name <> current_database()
            OR pg_snapshot_xmax(k.prev) > pg_snapshot_xmax(pg_current_snapshot())
            THEN 'mismatch'
        ELSE k.state
    END AS state,
    b.rows_behind,
    coalesce(extract(EPOCH FROM clock_timestamp() - b.oldest_change), 0)::double precision AS seconds_behind,
    w.pid AS oldest_writer_pid,
    w.seconds AS oldest_writer_seconds,
    k.changes_applied,
    k.advanced_at,
    b.more_behind,
    w.gid AS oldest_writer_gid
FROM headrace.stream_cursor AS k
INNER JOIN headrace.changes_behind() AS b ON k.stream = b.stream AND k.shard = b.shard
LEFT JOIN headrace.oldest_writer() AS w ON true
