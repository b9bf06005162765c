-- purpose: takes the CHECK on op off the change log: only generated triggers write there
-- grain:   the change log and its partitions
-- reads:   pg_trigger
-- writes:  drops change_log_op_known, comments op
-- locks:   SHARE ROW EXCLUSIVE on the captured tables, then ACCESS EXCLUSIVE on change_log, until migrate commits: writes wait
--
-- PostgreSQL reads a CHECK's expression anew in each statement that inserts, and a row trigger is a statement a row:
-- 3 of the 14 us that a change cost (docs/decisions.md, 13).
--
-- Tables first, as a writer locks them: one that is in its statement would wait for the log, and we for its table.
DO $$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN
        SELECT DISTINCT g.tgrelid::regclass FROM pg_trigger g INNER JOIN pg_proc p ON p.oid = g.tgfoid
        WHERE p.pronamespace = 'headrace'::regnamespace AND NOT g.tgisinternal ORDER BY 1
    LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', v_table);
    END LOOP;
END
$$;
ALTER TABLE headrace.change_log DROP CONSTRAINT change_log_op_known;
COMMENT ON COLUMN headrace.change_log.op IS 'I inserted, U updated, D deleted, T truncated: then the row stands for a whole table.';
