-- purpose: where and when completions are read: the cluster, the database, the present snapshot, whether the stream is registered
-- grain:   one row
-- reads:   headrace.stream_cursor, pg_control_system
-- writes:  nothing
-- locks:   none
--
-- A snapshot lists the running transactions, and it is stored in a run's tag, which is indexed. With more than `most` of them an older
-- snapshot is returned: it sees nothing that the present one does not, and what it leaves out is new next time.
SELECT
    clock_timestamp() AS now,
    (SELECT p.system_identifier FROM pg_control_system() AS p) AS cluster,
    current_database() AS database,
    CASE
        WHEN cardinality(o.running) > :most
            THEN concat_ws(':', pg_snapshot_xmin(s.now), o.running[:most + 1], array_to_string(o.running[1:(:most)], ','))
        ELSE s.now::text
    END AS snapshot,
    :stream IN (SELECT c.stream FROM headrace.stream_cursor AS c) AS registered
FROM (SELECT pg_current_snapshot() AS now) AS s
CROSS JOIN LATERAL (
    SELECT array_agg(x.xid ORDER BY x.xid) AS running FROM pg_snapshot_xip(s.now) AS x (xid)
) AS o
