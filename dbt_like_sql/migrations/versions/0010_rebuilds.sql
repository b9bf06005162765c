-- purpose: campaigns that wait are found in order by index, templates by a key of fixed size, documents can wait
-- grain:   see each statement
-- reads:   nothing
-- writes:  columns and indexes of headrace.campaign, campaign_template_stats and stream; long template names of message_outcome
-- locks:   ACCESS EXCLUSIVE on Headrace's own tables; every row of campaign_template_stats is written once

ALTER TABLE headrace.campaign ADD COLUMN document_due_at timestamptz;
COMMENT ON TABLE headrace.campaign IS
    'Headrace''s own row of a campaign: the lock that folds, rebuilds and freezes share. pending: not computed yet, served live. '
    'rebuild_error: why its last rebuild failed; tried again from rebuild_not_before on. completed_at: by the source, else when '
    'it was noticed; settles_until: when it is to be frozen; source_rows: how many there were at the last freeze or amendment; '
    'late_messages: some of those whose changes asked for an amendment; document_due_at: when the document of a campaign with '
    'very many templates is to be written anew, null while it says what the counters say.';
-- What waits to be frozen and failed: a request like any other.
UPDATE headrace.campaign SET rebuild_requested_at = clock_timestamp()
WHERE rebuild_requested_at IS NULL AND rebuild_error IS NOT NULL;
-- One index for each pick, in the order in which they are due: what is put off is never read.
DROP INDEX headrace.campaign_rebuild_queue;
DROP INDEX headrace.campaign_settling;
CREATE INDEX campaign_rebuild_due ON headrace.campaign (coalesce(rebuild_not_before, rebuild_requested_at))
    WHERE rebuild_requested_at IS NOT NULL AND rebuild_error IS NULL;
CREATE INDEX campaign_rebuild_failed ON headrace.campaign (coalesce(rebuild_not_before, rebuild_requested_at))
    WHERE rebuild_requested_at IS NOT NULL AND rebuild_error IS NOT NULL;
CREATE INDEX campaign_settled ON headrace.campaign (settles_until) WHERE state = 'settling' AND rebuild_requested_at IS NULL;
CREATE INDEX campaign_document_due ON headrace.campaign (document_due_at) WHERE document_due_at IS NOT NULL;

-- Not a generated column: in a table with replica identity FULL these stop every update where a publication covers the table.
ALTER TABLE headrace.campaign_template_stats ADD COLUMN template_md5 uuid;
UPDATE headrace.campaign_template_stats SET template_md5 = coalesce(md5(template_name)::uuid, '00000000-0000-0000-0000-000000000000');
ALTER TABLE headrace.campaign_template_stats ALTER COLUMN template_md5 SET NOT NULL;
COMMENT ON COLUMN headrace.campaign_template_stats.template_md5 IS
    'md5 of template_name, zeros for null: a key of fixed size, for names may have megabytes.';
-- Compressing a name of a megabyte takes ten times as long as all else that is done with it; a short one is stored as before.
ALTER TABLE headrace.campaign_template_stats ALTER COLUMN template_name SET STORAGE EXTERNAL;
DROP INDEX headrace.campaign_template_stats_key;
CREATE UNIQUE INDEX campaign_template_stats_key ON headrace.campaign_template_stats (campaign_id, template_md5);

-- As headrace.template_key cuts them.
UPDATE headrace.message_outcome SET template_name = substr(template_name, 1, 1000) || '...' || md5(template_name)
WHERE octet_length(template_name) > 1000;
COMMENT ON TABLE headrace.message_outcome IS
    'What each queued message of an unfrozen campaign counts as. bits: 1 sent, 2 delivered, 4 read, 8 failed, '
    '16 failed in the queue, 32 replied; the times: first evidence of each. message_id: send_queue.id as text. '
    'template_name: one of more than 1,000 bytes is cut, with its md5 at the end.';

ALTER TABLE headrace.stream ADD COLUMN rebuild_pick text, ADD COLUMN rebuild_items text, ADD COLUMN rebuild_put_off text;
