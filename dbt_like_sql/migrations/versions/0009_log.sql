-- purpose: what bounds the log's upkeep needs: what is left of a window, how wide its changes are; dead letters of long keys
-- grain:   see each statement
-- reads:   nothing
-- writes:  columns of headrace.stream_cursor; an index of headrace.dead_letter; comments
-- locks:   ACCESS EXCLUSIVE on stream_cursor and dead_letter, SHARE UPDATE EXCLUSIVE on change_log_default: no writer waits
COMMENT ON TABLE headrace.change_log_default IS
    'Changes of days that have no partition; normally empty. They are applied like all others, and deleted when past their retention.';
ALTER TABLE headrace.stream_cursor ADD COLUMN window_left bigint, ADD COLUMN window_widest bigint;
COMMENT ON COLUMN headrace.stream_cursor.window_left IS
    'How many changes of the open window are not applied yet; null: all of window_rows may be, for it was opened by an older version.';
COMMENT ON COLUMN headrace.stream_cursor.window_widest IS
    'Bytes of the widest change in the open window; null: unknown. Batches of wide changes are cut by their bytes.';
-- By a hash: a key may be longer than an index entry.
DROP INDEX headrace.dead_letter_entity;
CREATE INDEX dead_letter_entity ON headrace.dead_letter (stream, hashtextextended(entity_id, 0), pos);
