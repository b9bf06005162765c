-- purpose: takes away the streams that no active domain has, with their places in the log and what they could not apply
-- grain:   all streams that a domain registered, but for :streams; nobody's stay
-- reads:   nothing
-- writes:  headrace.stream, headrace.stream_cursor, headrace.dead_letter
-- locks:   the rows that go
WITH gone AS (
    DELETE FROM headrace.stream AS s
    WHERE s.domain IS NOT NULL AND s.stream <> ALL(:streams)
    RETURNING s.stream
)

DELETE FROM headrace.dead_letter AS d
USING gone AS g
WHERE d.stream = g.stream
