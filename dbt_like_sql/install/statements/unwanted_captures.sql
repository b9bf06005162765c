-- purpose: source tables that were captured for a domain and that no active domain wants any more
-- grain:   one row per source; :sources: the wanted ones
-- reads:   headrace.source
-- writes:  nothing
-- locks:   none
SELECT s.source
FROM headrace.source AS s
WHERE s.triggers <> '{}' AND s.specs <> '{}' AND s.source <> ALL(:sources)
ORDER BY s.source
