-- purpose: the seed's materialized view and its index, as its document has them, to be measured against
-- grain:   one row per campaign and template; its LEFT JOIN multiplies rows, so that total and sent come out too high
-- reads:   campaigns, send_queue, message_status_logs
-- writes:  nothing
-- locks:   REFRESH holds ACCESS EXCLUSIVE on the view
CREATE MATERIALIZED VIEW campaign_template_stats AS
SELECT
  c.id as campaign_id,
  sq.template_name,
  COUNT(*) as total,
  COUNT(*) FILTER (WHERE sq.status = 'sent') as sent,
  COUNT(*) FILTER (WHERE sq.status = 'failed') as failed,
  COUNT(DISTINCT CASE
    WHEN msl.status IN ('delivered', 'read')
    THEN msl.whatsapp_message_id
  END) as delivered,
  COUNT(DISTINCT CASE
    WHEN msl.status = 'read'
    THEN msl.whatsapp_message_id
  END) as read,
  COUNT(DISTINCT CASE
    WHEN msl.status = 'failed'
    THEN msl.whatsapp_message_id
  END) as failed_delivery
FROM campaigns c
JOIN send_queue sq ON c.id = sq.campaign_id
LEFT JOIN message_status_logs msl ON sq.whatsapp_message_id = msl.whatsapp_message_id
GROUP BY c.id, sq.template_name;

-- Create index for fast lookups
CREATE INDEX idx_campaign_template_stats_campaign_id
ON campaign_template_stats(campaign_id);
