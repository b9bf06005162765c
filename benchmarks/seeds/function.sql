-- purpose: the seed's own function, as its document has it, to be measured against
-- grain:   one campaign
-- reads:   send_queue, message_status_logs, messages
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION get_campaign_template_stats(p_campaign_id UUID)
RETURNS TABLE (
  template_name TEXT,
  total BIGINT,
  sent BIGINT,
  delivered BIGINT,
  read BIGINT,
  replied BIGINT,
  failed BIGINT
) AS $$
BEGIN
  RETURN QUERY
  WITH latest_status AS (
    SELECT DISTINCT ON (whatsapp_message_id)
      whatsapp_message_id,
      status,
      campaign_id
    FROM message_status_logs
    WHERE campaign_id = p_campaign_id
    ORDER BY whatsapp_message_id, created_at DESC
  ),
  reply_counts AS (
    SELECT sq.template_name, COUNT(DISTINCT m_in.user_phone) as reply_count
    FROM send_queue sq
    JOIN messages m_out ON sq.whatsapp_message_id = m_out.whatsapp_message_id
    JOIN messages m_in ON m_out.user_phone = m_in.user_phone
      AND m_out.whatsapp_number_id = m_in.whatsapp_number_id
      AND m_in.direction = 'incoming'
    WHERE sq.campaign_id = p_campaign_id
    GROUP BY sq.template_name
  )
  SELECT
    sq.template_name,
    COUNT(*) as total,
    COUNT(*) FILTER (WHERE sq.status = 'sent') as sent,
    COUNT(DISTINCT ls.whatsapp_message_id)
      FILTER (WHERE ls.status IN ('delivered', 'read')) as delivered,
    COUNT(DISTINCT ls.whatsapp_message_id)
      FILTER (WHERE ls.status = 'read') as read,
    COALESCE(rc.reply_count, 0) as replied,
    COUNT(*) FILTER (WHERE sq.status = 'failed') +
      COUNT(DISTINCT ls.whatsapp_message_id)
        FILTER (WHERE ls.status = 'failed') as failed
  FROM send_queue sq
  LEFT JOIN latest_status ls ON sq.whatsapp_message_id = ls.whatsapp_message_id
  LEFT JOIN reply_counts rc ON sq.template_name = rc.template_name
  WHERE sq.campaign_id = p_campaign_id
  GROUP BY sq.template_name, rc.reply_count;
END;
$$ LANGUAGE plpgsql STABLE;
