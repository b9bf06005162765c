-- purpose: unpacks a frozen campaign's hourly series into rows, to be compared with a new count: the reverse of pack_hours
-- grain:   one campaign; nothing happens if its series is not packed
-- reads:   headrace.campaign_frozen_hours
-- writes:  campaign_hour, campaign_frozen_hours
-- locks:   the rows it writes; the caller holds the campaign
CREATE OR REPLACE FUNCTION headrace.unpack_hours(p_campaign_id uuid) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    WITH packed AS (
        DELETE FROM headrace.campaign_frozen_hours f WHERE f.campaign_id = p_campaign_id RETURNING f.*
    )
    INSERT INTO headrace.campaign_hour (campaign_id, hour, sent, delivered, read, replied)
    SELECT p.campaign_id, u.hour, u.sent, u.delivered, u.read, u.replied
    FROM packed p CROSS JOIN LATERAL unnest(p.hours, p.sent, p.delivered, p.read, p.replied) u (hour, sent, delivered, read, replied);
$$;
