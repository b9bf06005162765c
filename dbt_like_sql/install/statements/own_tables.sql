-- purpose: our tables in the order in which they are locked: first those with which a worker's transactions begin, in that order
-- grain:   one row per table; is_log: the change log or a partition, which whoever writes to a source table holds
-- reads:   pg_class
-- writes:  nothing
-- locks:   none
SELECT
    c.oid::regclass::text AS relation,
    c.relname = 'change_log' OR c.relispartition AS is_log
FROM pg_class AS c
WHERE c.relnamespace = 'headrace'::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY array_position(:first::text[], c.relname::text), c.oid
