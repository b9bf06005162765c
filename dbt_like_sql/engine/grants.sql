-- purpose: rights on the engine: none for PUBLIC, the fewest possible for each role
-- grain:   schema headrace
-- reads:   nothing
-- writes:  rights
-- locks:   none
REVOKE ALL ON SCHEMA headrace FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA headrace FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA headrace FROM PUBLIC;
GRANT USAGE ON SCHEMA headrace TO headrace_reader, headrace_app, headrace_worker;
-- Capture runs the application's casts, webhooks fire its triggers: the roles they run as have only these rights.
GRANT USAGE ON SCHEMA headrace TO headrace_capture;
GRANT INSERT ON headrace.change_log TO headrace_capture;
GRANT EXECUTE ON FUNCTION headrace.log_change_anew(text, "char", jsonb, jsonb, jsonb, text) TO headrace_capture;
GRANT SELECT ON headrace.stream_lag, headrace.stream, headrace.worker, headrace.activity TO headrace_reader, headrace_worker;
GRANT EXECUTE ON FUNCTION headrace.stream_rebuilds(text[], boolean) TO headrace_reader, headrace_worker;
-- Functions in a view run with the rights of the view's reader.
GRANT EXECUTE ON FUNCTION headrace.oldest_writer(), headrace.changes_behind(bigint) TO headrace_owner, headrace_reader, headrace_worker;
GRANT SELECT ON headrace.dead_letter, headrace.stream_cursor, headrace.installation, headrace.source TO headrace_worker;
GRANT EXECUTE ON FUNCTION
headrace.stream_poll(text[], boolean, boolean),
headrace.stream_step(text, integer, integer, boolean),
headrace.stream_rebuild(text, boolean),
headrace.stream_rebuild_pick(text, boolean),
headrace.stream_rebuild_items(text, text[]),
headrace.stream_rebuild_put_off(text, text[], text, text, double precision),
headrace.dead_letter_retry(bigint[], boolean),
headrace.missing_change_log_days(integer),
headrace.capture_faults(text[]),
headrace.capture_fingerprint(oid),
headrace.source_parts(oid),
headrace.source_problems(text[]),
headrace.note_altered_source(text),
headrace.stray_changes(),
headrace.held_up(),
headrace.add_change_log_partition(date),
headrace.fence_change_log_default(date, date),
headrace.validate_default_fence(),
headrace.remove_default_fence(),
headrace.expire_default_changes(interval, interval, bigint, integer),
headrace.expired_change_log_days(interval),
headrace.drop_change_log_partition(date, interval),
headrace.forget_old_workers(),
headrace.worker_heartbeat(text, text, integer, text, text[], bigint, text)
TO headrace_worker;
