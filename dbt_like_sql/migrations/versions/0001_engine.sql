-- purpose: the engine's tables: change log, streams, dead letters, workers, activity
-- grain:   see each table's comment
-- reads:   nothing
-- writes:  creates schema headrace and its engine tables
-- locks:   none that an application waits for: everything here is new

CREATE TABLE headrace.change_log (
    pos bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    source text NOT NULL,
    op "char" NOT NULL,
    entity_id text,
    scope text,
    data jsonb,
    cause text,
    CONSTRAINT change_log_op_known CHECK (op IN ('I', 'U', 'D', 'T'))
) PARTITION BY RANGE (changed_at);
COMMENT ON TABLE headrace.change_log IS
    'One row per captured change of a source row (op T: a whole table was truncated). Partitioned by UTC day.';
CREATE INDEX change_log_xid ON headrace.change_log (xid);
CREATE INDEX change_log_pos ON headrace.change_log (pos);
CREATE TABLE headrace.change_log_default PARTITION OF headrace.change_log DEFAULT;
COMMENT ON TABLE headrace.change_log_default IS
    'Changes of days that have no partition; normally empty. headrace migrate moves what it holds.';

CREATE TABLE headrace.stream (
    stream text PRIMARY KEY,
    sources text[] NOT NULL,
    handler text NOT NULL,
    shards integer NOT NULL DEFAULT 1,
    ordered boolean NOT NULL DEFAULT false,
    rebuild_step text,
    rebuilds_pending text,
    rebuild_all text,
    CONSTRAINT stream_shards_positive CHECK (shards BETWEEN 1 AND 1024)
);
COMMENT ON TABLE headrace.stream IS
    'A consumer of the change log: its sources and the SQL function (change_log[]) -> bigint that applies a batch. '
    'ordered: behind a dead letter, later changes of the same entity wait. rebuild_step() -> integer and '
    'rebuilds_pending() -> bigint: what the stream derives and is queued to be recomputed; rebuild_all(): queues it all.';

CREATE TABLE headrace.stream_cursor (
    stream text NOT NULL REFERENCES headrace.stream (stream) ON DELETE CASCADE,
    shard integer NOT NULL,
    prev pg_snapshot NOT NULL,
    cur pg_snapshot,
    pos bigint NOT NULL DEFAULT 0,
    last_pos bigint,
    window_rows bigint,
    state text NOT NULL DEFAULT 'active',
    system_identifier bigint NOT NULL,
    database_name name NOT NULL,
    changes_applied bigint NOT NULL DEFAULT 0,
    advanced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, shard),
    CONSTRAINT stream_cursor_state_known CHECK (state IN ('active', 'lost')),
    CONSTRAINT stream_cursor_window_whole CHECK ((cur IS NULL) = (last_pos IS NULL))
) WITH (fillfactor = 50);
COMMENT ON TABLE headrace.stream_cursor IS
    'Where a shard of a stream stands: everything visible in prev is applied; while cur is set, the window of what cur '
    'sees and prev did not is being applied, up to pos.';

CREATE TABLE headrace.dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    shard integer NOT NULL,
    change headrace.change_log NOT NULL,
    pos bigint NOT NULL,
    entity_id text,
    status text NOT NULL DEFAULT 'failed',
    error_code text NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_try_at timestamptz,
    CONSTRAINT dead_letter_status_known CHECK (status IN ('failed', 'waiting')),
    CONSTRAINT dead_letter_once UNIQUE (stream, pos)
);
COMMENT ON TABLE headrace.dead_letter IS
    'A change that a stream could not apply (failed), or that waits behind one of the same entity (waiting). '
    'Kept until a retry succeeds or an operator discards it; next_try_at null: no further try by itself.';
CREATE INDEX dead_letter_entity ON headrace.dead_letter (stream, entity_id, pos);

CREATE TABLE headrace.worker (
    worker_id text PRIMARY KEY,
    hostname text NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL,
    streams text[] NOT NULL,
    changes_applied bigint NOT NULL DEFAULT 0,
    last_error text,
    CONSTRAINT worker_state_known CHECK (state IN ('running', 'stopping', 'stopped'))
);
COMMENT ON TABLE headrace.worker IS 'One row per resident worker: its heartbeat. Kept a day after the last one.';

CREATE TABLE headrace.activity (
    asset text NOT NULL,
    partition_day date NOT NULL,
    rows_changed bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (asset, partition_day)
) WITH (fillfactor = 50);
COMMENT ON TABLE headrace.activity IS
    'What was changed outside Dagster runs, per asset and UTC day partition: a running total that never falls.';
CREATE INDEX activity_changed ON headrace.activity (changed_at);

CREATE TABLE headrace.installation (
    name text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE headrace.installation IS
    'What the last migrate rendered into the replaceable objects: their fingerprint, source schema, settings.';
