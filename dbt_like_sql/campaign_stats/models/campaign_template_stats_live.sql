-- purpose: the statistics recomputed from the source rows, for any set of campaigns; what the stored numbers must equal
-- grain:   one row per campaign and template that has messages
-- reads:   source_campaign_ids, live_counters
-- writes:  nothing
-- locks:   none
--
-- By functions that act as their owner: readers have no right on the application's tables, and nothing depends on these.
-- WHERE campaign_id = ... reaches the ids, so that only that campaign is counted.
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
