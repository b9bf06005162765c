-- purpose: our tables in locking order: first those that workers' transactions lock first, in the same order
-- grain:   one row per table; is_log: the change log or a partition of it, which every writer of a source table locks
-- reads:   pg_class
-- writes:  nothing
-- locks:   none
SELECT
    c.oid::regclass::text AS relation,
    c.relname = 'change_log' OR c.relispartition AS is_log
FROM pg_class AS c
WHERE c.relnamespace = 'headrace'::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY array_position(:first::text[], c.relname::text), c.oid
