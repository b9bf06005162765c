-- purpose: streams and captured columns are noted with the domain that asked for them
-- grain:   see each statement
-- reads:   nothing
-- writes:  columns of headrace.stream and headrace.source
-- locks:   ACCESS EXCLUSIVE on Headrace's own two tables
ALTER TABLE headrace.stream ADD COLUMN domain text, ADD COLUMN rebuild_new text, ADD COLUMN on_setting jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN unit text;
COMMENT ON COLUMN headrace.stream.unit IS 'What rebuilds are counted in, as a noun: campaigns.';
COMMENT ON COLUMN headrace.stream.domain IS 'Whose stream it is; it goes when the domain is no longer active. Null: nobody''s, it stays.';
COMMENT ON COLUMN headrace.stream.rebuild_new IS
    'rebuild_new() -> bigint: queues what the stream does not have yet. rebuild_all queues everything there is.';
COMMENT ON COLUMN headrace.stream.on_setting IS
    'By the name of a setting the function() that migrate calls when another value of it holds.';
UPDATE headrace.stream SET domain = 'campaign_stats'
WHERE stream = 'campaign_stats';

ALTER TABLE headrace.source ADD COLUMN specs jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN headrace.source.specs IS 'What each domain wants to be captured (capture_spec), by the domain''s name.';
-- Older versions had this one domain; what it wanted is not known, only that it had all of it.
UPDATE headrace.source SET specs = '{"campaign_stats": {}}'
WHERE triggers <> '{}';
