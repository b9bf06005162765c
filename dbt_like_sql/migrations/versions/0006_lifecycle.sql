-- purpose: what a campaign's life needs: its states, first evidence of what messages count as, series, amendments
-- grain:   see each table's comment
-- reads:   nothing
-- writes:  columns of headrace.campaign, message_outcome, campaign_computed_stats; new tables; rebuilt_at of all campaigns
-- locks:   ACCESS EXCLUSIVE on Headrace's own tables, for the moment of the change; columns without a default rewrite nothing

ALTER TABLE headrace.campaign
    DROP CONSTRAINT campaign_state_known,
    ADD CONSTRAINT campaign_state_known CHECK (state IN ('pending', 'live', 'settling', 'frozen', 'amended', 'deleted')),
    ADD COLUMN completed_at timestamptz,
    ADD COLUMN announced_at timestamptz,
    ADD COLUMN reopened_at timestamptz,
    ADD COLUMN settles_until timestamptz,
    ADD COLUMN frozen_status text,
    ADD COLUMN source_rows jsonb,
    ADD COLUMN late_messages text[],
    ADD COLUMN last_version bigint NOT NULL DEFAULT 0;
COMMENT ON TABLE headrace.campaign IS
    'Headrace''s own row of a campaign: the lock that folds, rebuilds and freezes share. pending: not computed yet, served live. '
    'rebuild_error: why its last rebuild failed; tried again from rebuild_not_before on. completed_at: by the source, else when '
    'it was noticed; settles_until: when it is to be frozen; source_rows: how many there were at the last freeze or amendment; '
    'late_messages: some of those whose changes asked for an amendment.';
-- Every campaign is counted anew after this; what was completed before then is no news.
UPDATE headrace.campaign SET rebuilt_at = NULL;
CREATE INDEX campaign_settling ON headrace.campaign (settles_until) WHERE settles_until IS NOT NULL;

ALTER TABLE headrace.message_outcome
    ADD COLUMN sent_at timestamptz,
    ADD COLUMN delivered_at timestamptz,
    ADD COLUMN read_at timestamptz,
    ADD COLUMN replied_at timestamptz;
COMMENT ON TABLE headrace.message_outcome IS
    'What each queued message of an unfrozen campaign counts as. bits: 1 sent, 2 delivered, 4 read, 8 failed, '
    '16 failed in the queue, 32 replied; the times: first evidence of each. message_id: send_queue.id as text.';
DROP TYPE IF EXISTS headrace.outcome_change CASCADE;

ALTER TABLE headrace.campaign_computed_stats
    ADD COLUMN facts jsonb,
    ADD COLUMN deleted_at timestamptz;
COMMENT ON TABLE headrace.campaign_computed_stats IS
    'One document per campaign for serving: per-template counters and rates, totals. version rises when numbers change. '
    'facts: name, status and dates as they were when it was frozen; deleted_at: when the source lost the frozen campaign.';

CREATE TABLE headrace.campaign_hour (
    campaign_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    sent integer NOT NULL,
    delivered integer NOT NULL,
    read integer NOT NULL,
    replied integer NOT NULL,
    PRIMARY KEY (campaign_id, hour),
    CONSTRAINT campaign_hour_counts CHECK (sent >= 0 AND delivered >= 0 AND read >= 0 AND replied >= 0)
) WITH (fillfactor = 70);
COMMENT ON TABLE headrace.campaign_hour IS
    'Messages per unfrozen campaign and UTC hour of the first evidence that they were sent, delivered, read, replied to.';

CREATE TABLE headrace.campaign_frozen_hours (
    campaign_id uuid PRIMARY KEY,
    hours timestamptz[] NOT NULL,
    sent integer[] NOT NULL,
    delivered integer[] NOT NULL,
    read integer[] NOT NULL,
    replied integer[] NOT NULL
);
COMMENT ON TABLE headrace.campaign_frozen_hours IS
    'The rows of campaign_hour of a frozen campaign as one row, in order of hour: a tenth of the space.';

CREATE TABLE headrace.campaign_latency (
    campaign_id uuid NOT NULL,
    kind "char" NOT NULL,
    block integer NOT NULL,
    messages integer NOT NULL,
    seconds integer[] NOT NULL,
    counts integer[] NOT NULL,
    PRIMARY KEY (campaign_id, kind, block),
    CONSTRAINT campaign_latency_kind_known CHECK (kind IN ('d', 'r')),
    CONSTRAINT campaign_latency_counts CHECK (messages >= 0 AND cardinality(counts) = cardinality(seconds) AND 0 < ALL(counts))
) WITH (fillfactor = 70);
COMMENT ON TABLE headrace.campaign_latency IS
    'How many messages of an unfrozen campaign took how long from sent to delivered (d) and to read (r): what its medians are '
    'read from. seconds: what occurs of the times that the block is for (headrace.latency_block), in order; counts: how often.';

CREATE TABLE headrace.campaign_completion (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id uuid NOT NULL,
    completed_at timestamptz NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE headrace.campaign_completion IS
    'Completions as the stream noticed them, for the sensor completed_campaigns; kept 30 days.';
CREATE INDEX campaign_completion_xid ON headrace.campaign_completion (xid);

CREATE TABLE headrace.campaign_stats_amendment (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id uuid NOT NULL,
    version bigint NOT NULL,
    template_stats jsonb NOT NULL,
    totals jsonb NOT NULL,
    checksum text NOT NULL,
    computed_at timestamptz NOT NULL,
    frozen_at timestamptz NOT NULL,
    amended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed jsonb NOT NULL,
    why jsonb NOT NULL
);
CREATE INDEX campaign_stats_amendment_campaign ON headrace.campaign_stats_amendment (campaign_id, version);
COMMENT ON TABLE headrace.campaign_stats_amendment IS
    'A frozen document as it was before it was amended or reopened: the earlier version, what changed from it and why.';

CREATE TABLE headrace.campaign_stats_pending_amendment (
    campaign_id uuid PRIMARY KEY,
    why jsonb NOT NULL,
    source_rows_then jsonb NOT NULL,
    source_rows_now jsonb NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE headrace.campaign_stats_pending_amendment IS
    'Frozen campaigns that something late happened to while the source has fewer rows than it had: nothing is recomputed '
    'until an operator says so.';
