-- purpose: the statistics recomputed from the source rows, for any set of campaigns; what the stored numbers must equal
-- grain:   one row per campaign and template that has messages
-- reads:   message_outcome_live
-- writes:  nothing
-- locks:   none
--
-- Counted in two steps: messages per outcome, of which there are few, then counters from these.
CREATE OR REPLACE VIEW headrace.campaign_template_stats_live AS
SELECT
    b.campaign_id,
    b.template_name,
    sum(b.messages)::bigint AS total,
    coalesce(sum(b.messages) FILTER (WHERE b.bits & 1 > 0), 0)::bigint AS sent,
    coalesce(sum(b.messages) FILTER (WHERE b.bits & 2 > 0), 0)::bigint AS delivered,
    coalesce(sum(b.messages) FILTER (WHERE b.bits & 4 > 0), 0)::bigint AS read,
    coalesce(sum(b.messages) FILTER (WHERE b.bits & 32 > 0), 0)::bigint AS replied,
    coalesce(sum(b.messages) FILTER (WHERE b.bits & 8 > 0), 0)::bigint AS failed,
    coalesce(sum(b.messages) FILTER (WHERE b.bits & 16 > 0), 0)::bigint AS failed_queue
FROM (
    SELECT
        o.campaign_id,
        o.template_name,
        o.bits,
        count(*) AS messages
    FROM headrace.message_outcome_live AS o
    GROUP BY o.campaign_id, o.template_name, o.bits
) AS b
GROUP BY b.campaign_id, b.template_name
