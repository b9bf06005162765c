-- purpose: campaigns that could not be rebuilt, and why
-- grain:   the first :most of them, each with how many there are
-- reads:   headrace.campaign
-- writes:  nothing
-- locks:   none
SELECT
    c.campaign_id,
    left(c.rebuild_error, 300) AS error,
    c.rebuild_failures AS tries,
    count(*) OVER () AS campaigns
FROM headrace.campaign AS c
WHERE c.rebuild_error IS NOT NULL
ORDER BY c.campaign_id
LIMIT :most
