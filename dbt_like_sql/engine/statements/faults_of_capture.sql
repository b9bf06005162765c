-- purpose: faults in the capture of :sources, and problems of their tables
-- grain:   one row per fault, as orchestration.engine.capture.Fault
-- reads:   capture_faults, source_problems
-- writes:  nothing
-- locks:   none
SELECT
    f.source,
    f.fault,
    f.missed,
    f.table_name,
    f.op,
    f.found,
    NULL AS column_name,
    NULL AS what,
    NULL AS remedy
FROM headrace.capture_faults(:sources::text[]) AS f
UNION ALL
SELECT
    p.table_name AS source,
    p.fault,
    p.source = p.table_name AS missed,
    p.table_name,
    NULL AS op,
    p.found,
    p.column_name,
    p.what,
    p.remedy
FROM (
    SELECT
        s.*,
        split_part(s.source, ' others', 1) AS table_name
    FROM (
        SELECT coalesce(array_agg(t.source || o.others), '{}') AS sources
        FROM unnest(:sources::text[]) AS t (source)
        CROSS JOIN unnest(ARRAY['', ' others']) AS o (others)
    ) AS n
    CROSS JOIN LATERAL headrace.source_problems(n.sources) AS s
) AS p
