-- purpose: takes the CHECK on op off the change log: only generated triggers write there
-- grain:   the change log and its partitions
-- reads:   nothing
-- writes:  drops change_log_op_known, comments op
-- locks:   ACCESS EXCLUSIVE on change_log and its partitions until migrate commits: captured writes wait that long
--
-- PostgreSQL reads a CHECK's expression anew in each statement that inserts, and a row trigger is a statement a row:
-- 3 of the 14 µs that a change cost (docs/decisions.md, 13).
ALTER TABLE headrace.change_log DROP CONSTRAINT change_log_op_known;
COMMENT ON COLUMN headrace.change_log.op IS 'I inserted, U updated, D deleted, T truncated: then the row stands for a whole table.';
