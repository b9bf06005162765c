-- purpose: whether others may be writing to the change log; if so, migrate leaves new partitions until after its commit
-- grain:   a row if a capture trigger exists, or none
-- reads:   pg_trigger, pg_proc
-- writes:  nothing
-- locks:   none
SELECT g.oid
FROM pg_trigger AS g
INNER JOIN pg_proc AS p ON g.tgfoid = p.oid
WHERE p.pronamespace = 'headrace'::regnamespace AND NOT g.tgisinternal
ORDER BY g.oid
LIMIT 1
