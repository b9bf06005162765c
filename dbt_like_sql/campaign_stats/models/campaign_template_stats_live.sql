-- purpose: statistics recomputed from the source rows, for any set of campaigns; the stored numbers must equal them
-- grain:   one row per campaign and template that has messages
-- reads:   source_campaign_ids, live_counters
-- writes:  nothing
-- locks:   none
--
-- It uses functions that run as their owner, because readers have no right on the application's tables, and so that no view depends on
-- these. WHERE campaign_id = ... reaches the ids, so that only that campaign is counted.
CREATE OR REPLACE VIEW headrace.campaign_template_stats_live AS
SELECT
    i.campaign_id,
    s.template_name,
    s.total,
    s.sent,
    s.delivered,
    s.read,
    s.replied,
    s.failed,
    s.failed_queue
FROM headrace.source_campaign_ids() AS i (campaign_id)
CROSS JOIN LATERAL headrace.live_counters(i.campaign_id) AS s
