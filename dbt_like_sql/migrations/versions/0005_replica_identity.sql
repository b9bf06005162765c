-- purpose: lets tables without a primary key be updated where a publication covers all tables (FOR ALL TABLES, or this schema)
-- grain:   campaign_template_stats, and the change log with its partitions; later ones get it when they are made
-- reads:   pg_inherits
-- writes:  the tables' replica identity
-- locks:   ACCESS EXCLUSIVE on these tables, for an instant
ALTER TABLE headrace.campaign_template_stats REPLICA IDENTITY FULL;
ALTER TABLE headrace.change_log REPLICA IDENTITY FULL;
DO $$
DECLARE
    v_partition regclass;
BEGIN
    FOR v_partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'headrace.change_log'::regclass ORDER BY 1 LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', v_partition);
    END LOOP;
END
$$;
