-- purpose: the tables that are captured for no domain that is active
-- grain:   one row per source
-- reads:   headrace.source
-- writes:  nothing
-- locks:   none
SELECT s.source
FROM headrace.source AS s
WHERE s.triggers <> '{}' AND s.specs <> '{}' AND NOT s.specs ?| :domains
ORDER BY s.source
