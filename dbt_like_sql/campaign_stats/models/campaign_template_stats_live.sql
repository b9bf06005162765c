-- purpose: the statistics recomputed from the source rows, for any set of campaigns; what the stored numbers must equal
-- grain:   one row per campaign and template that has messages
-- reads:   message_outcome_live
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE VIEW headrace.campaign_template_stats_live AS
SELECT
    o.campaign_id,
    o.template_name,
    count(*) AS total,
    count(*) FILTER (WHERE o.bits & 1 > 0) AS sent,
    count(*) FILTER (WHERE o.bits & 2 > 0) AS delivered,
    count(*) FILTER (WHERE o.bits & 4 > 0) AS read,
    count(*) FILTER (WHERE o.bits & 32 > 0) AS replied,
    count(*) FILTER (WHERE o.bits & 8 > 0) AS failed,
    count(*) FILTER (WHERE o.bits & 16 > 0) AS failed_queue
FROM headrace.message_outcome_live AS o
GROUP BY o.campaign_id, o.template_name
