-- purpose: the course of campaigns: messages by the UTC hour of the first evidence that they were sent, delivered, read or replied to
-- grain:   one row per campaign and hour with at least one message
-- reads:   headrace.campaign_hour, headrace.campaign_frozen_hours
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE VIEW headrace.campaign_hourly_stats AS
SELECT
    h.campaign_id,
    h.hour,
    h.sent,
    h.delivered,
    h.read,
    h.replied
FROM headrace.campaign_hour AS h
UNION ALL
SELECT
    f.campaign_id,
    u.hour,
    u.sent,
    u.delivered,
    u.read,
    u.replied
FROM headrace.campaign_frozen_hours AS f
CROSS JOIN LATERAL unnest(f.hours, f.sent, f.delivered, f.read, f.replied) AS u (hour, sent, delivered, read, replied)
