-- purpose: deletes streams that no active domain has, with their cursors and dead letters
-- grain:   all streams that a domain registered, except :streams; streams without a domain stay
-- reads:   nothing
-- writes:  headrace.stream, headrace.stream_cursor, headrace.dead_letter
-- locks:   the deleted rows
WITH gone AS (
    DELETE FROM headrace.stream AS s
    WHERE s.domain IS NOT NULL AND s.stream <> ALL(:streams)
    RETURNING s.stream
)

DELETE FROM headrace.dead_letter AS d
USING gone AS g
WHERE d.stream = g.stream
