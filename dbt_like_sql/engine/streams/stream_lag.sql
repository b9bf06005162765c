-- purpose: how far each shard of each stream is behind, and what holds it
-- grain:   one row per stream and shard
-- reads:   headrace.stream, headrace.stream_cursor, headrace.change_log (by xid), oldest_writer
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
    p.rows_behind,
    coalesce(extract(EPOCH FROM clock_timestamp() - p.oldest_change), 0)::double precision AS seconds_behind,
    w.pid AS oldest_writer_pid,
    w.seconds AS oldest_writer_seconds,
    k.changes_applied,
    k.advanced_at
FROM headrace.stream_cursor AS k
INNER JOIN headrace.stream AS s ON k.stream = s.stream
CROSS JOIN LATERAL (
    SELECT
        count(*) AS rows_behind,
        min(u.changed_at) AS oldest_change
    FROM (
        SELECT l.pos, l.xid, l.source, l.entity_id, l.changed_at
        FROM headrace.change_log AS l
        WHERE l.xid = ANY(ARRAY(SELECT x FROM pg_snapshot_xip(k.prev) AS x))
        UNION ALL
        SELECT l.pos, l.xid, l.source, l.entity_id, l.changed_at
        FROM headrace.change_log AS l
        WHERE l.xid >= pg_snapshot_xmax(k.prev)
        OFFSET 0
    ) AS u
    WHERE
        u.source = ANY(s.sources)
        AND (k.cur IS NULL OR u.pos > k.pos OR NOT pg_visible_in_snapshot(u.xid, k.cur))
        AND (s.shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, s.shards) = k.shard)
) AS p
LEFT JOIN LATERAL headrace.oldest_writer() AS w ON true
