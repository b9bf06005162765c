-- purpose: takes away the streams of domains that are not active, with their places in the log and what they could not apply
-- grain:   all streams of other domains than :domains; nobody's stay
-- reads:   nothing
-- writes:  headrace.stream, headrace.stream_cursor, headrace.dead_letter
-- locks:   the rows that go
WITH gone AS (
    DELETE FROM headrace.stream AS s
    WHERE s.domain <> ALL(:domains)
    RETURNING s.stream
)

DELETE FROM headrace.dead_letter AS d
USING gone AS g
WHERE d.stream = g.stream
