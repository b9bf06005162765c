-- purpose: webhook items that the application's tables refused although they were valid
-- grain:   one row: how many, counted up to :most, and the reason of the latest
-- reads:   headrace.webhook_reject
-- writes:  nothing
-- locks:   none
--
-- Only reasons that begin with a SQLSTATE.
SELECT
    count(*) AS parts,
    (array_agg(r.reason ORDER BY r.last_at DESC))[1] AS latest
FROM (
    SELECT
        w.reason,
        w.last_at
    FROM headrace.webhook_reject AS w
    WHERE NOT w.notice AND w.reason ~ '^[0-9A-Z]{5} '
    ORDER BY w.id DESC
    LIMIT :most
) AS r
