-- purpose: our triggers on the application's tables, found by the functions they call, whatever their names, tables or settings
-- grain:   one row per trigger, those of partitions last; drop_it is null for a clone, which goes with its parent's trigger
-- reads:   pg_trigger, pg_proc, pg_class
-- writes:  nothing
-- locks:   none
SELECT
    t.oid::regclass::text AS relation,
    t.relkind IN ('r', 'p') AS is_lockable,
    t.relispartition AS is_partition,
    CASE g.tgparentid WHEN 0 THEN format('DROP TRIGGER %I ON %s', g.tgname, t.oid::regclass) END AS drop_it
FROM pg_trigger AS g
INNER JOIN pg_proc AS f ON g.tgfoid = f.oid AND f.pronamespace = 'headrace'::regnamespace
INNER JOIN pg_class AS t ON g.tgrelid = t.oid AND f.pronamespace <> t.relnamespace
ORDER BY (SELECT count(*) FROM pg_partition_ancestors(t.oid)), t.oid, g.tgname
