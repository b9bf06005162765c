-- purpose: the tables of campaign statistics
-- grain:   see each table's comment
-- reads:   nothing
-- writes:  creates headrace.campaign, message_outcome, campaign_template_stats, campaign_computed_stats
-- locks:   none that an application waits for: everything here is new

CREATE TABLE headrace.campaign (
    campaign_id uuid PRIMARY KEY,
    state text NOT NULL DEFAULT 'pending',
    rebuild_requested_at timestamptz,
    rebuilt_at timestamptz,
    rebuild_failures integer NOT NULL DEFAULT 0,
    rebuild_error text,
    rebuild_not_before timestamptz,
    CONSTRAINT campaign_state_known CHECK (state IN ('pending', 'live', 'deleted'))
) WITH (fillfactor = 70);
COMMENT ON TABLE headrace.campaign IS
    'Headrace''s own row of a campaign: the lock that folds and rebuilds share. pending: not computed yet, served live. '
    'rebuild_error: why its last rebuild failed; tried again from rebuild_not_before on.';
CREATE INDEX campaign_rebuild_queue ON headrace.campaign (rebuild_requested_at) WHERE rebuild_requested_at IS NOT NULL;

CREATE TABLE headrace.message_outcome (
    message_id text COLLATE "C" PRIMARY KEY,
    campaign_id uuid NOT NULL,
    bits smallint NOT NULL,
    template_name text
) WITH (fillfactor = 85);
COMMENT ON TABLE headrace.message_outcome IS
    'What each queued message of a live campaign counts as. bits: 1 sent, 2 delivered, 4 read, 8 failed, '
    '16 failed in the queue, 32 replied. message_id: send_queue.id as text.';
CREATE INDEX message_outcome_campaign ON headrace.message_outcome (campaign_id);

CREATE TABLE headrace.campaign_template_stats (
    campaign_id uuid NOT NULL,
    template_name text,
    total bigint NOT NULL,
    sent bigint NOT NULL,
    delivered bigint NOT NULL,
    read bigint NOT NULL,
    replied bigint NOT NULL,
    failed bigint NOT NULL,
    failed_queue bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT campaign_template_stats_funnel CHECK (total >= sent AND sent >= delivered AND delivered >= read AND read >= 0),
    CONSTRAINT campaign_template_stats_replied CHECK (replied BETWEEN 0 AND sent),
    CONSTRAINT campaign_template_stats_failed CHECK (failed BETWEEN 0 AND total - delivered),
    CONSTRAINT campaign_template_stats_failed_queue CHECK (failed_queue BETWEEN 0 AND failed)
) WITH (fillfactor = 50);
COMMENT ON TABLE headrace.campaign_template_stats IS
    'Messages per campaign and template, kept incrementally. failed_queue: the part of failed that the queue row says.';
CREATE UNIQUE INDEX campaign_template_stats_key ON headrace.campaign_template_stats
    (campaign_id, md5(template_name)) NULLS NOT DISTINCT;

CREATE TABLE headrace.campaign_computed_stats (
    campaign_id uuid PRIMARY KEY,
    template_stats jsonb NOT NULL,
    totals jsonb NOT NULL,
    state text NOT NULL DEFAULT 'live',
    version bigint NOT NULL DEFAULT 1,
    checksum text NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    frozen_at timestamptz,
    CONSTRAINT campaign_computed_stats_state_known CHECK (state IN ('live', 'settling', 'frozen', 'amended'))
) WITH (fillfactor = 50);
COMMENT ON TABLE headrace.campaign_computed_stats IS
    'One document per campaign for serving: per-template counters and rates, totals. version rises when numbers change.';
