-- purpose: what capture notes of each source table, so that a change of the table itself is known by comparing
-- grain:   one row per captured source table
-- reads:   nothing
-- writes:  creates headrace.source and type headrace.missing; a column of headrace.stream; drops the notes of older versions
-- locks:   none that an application waits for
CREATE TABLE headrace.source (
    source text PRIMARY KEY,
    schema_name name NOT NULL,
    table_name name NOT NULL,
    relid oid NOT NULL,
    columns jsonb NOT NULL,
    parts oid[] NOT NULL,
    storage text NOT NULL,
    mark text,
    triggers jsonb NOT NULL,
    functions jsonb NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE headrace.source IS
    'A captured table as it was when it was noted last: the columns that are read (number, type, version), its partitions, where '
    'its rows lie. mark: all of it in one text, to be compared at a glance. triggers, functions: what capture made.';

-- Stands in a capture function for a column that the table no longer has; a column of a table never is of this type.
DROP TYPE IF EXISTS headrace.missing;
CREATE TYPE headrace.missing AS ENUM ();

ALTER TABLE headrace.stream ADD COLUMN rows_left text;
COMMENT ON COLUMN headrace.stream.rows_left IS
    'rows_left(source text) -> bigint: queues what may count differently because rows went from a source without a trigger: '
    'a partition was detached or dropped. Where rows came or changed that way, rebuild_all queues everything.';

COMMENT ON COLUMN headrace.change_log.op IS
    'I inserted, U updated, D deleted; T truncated, X not readable (a column was renamed or dropped): these two stand for a whole table.';
DELETE FROM headrace.installation
WHERE name LIKE 'capture %';
