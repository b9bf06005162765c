-- purpose: packs a frozen campaign's hourly series into one row
-- grain:   one campaign
-- reads:   headrace.campaign_hour
-- writes:  campaign_hour, campaign_frozen_hours
-- locks:   the rows it writes; the caller holds the campaign
CREATE OR REPLACE FUNCTION headrace.pack_hours(p_campaign_id uuid) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    INSERT INTO headrace.campaign_frozen_hours (campaign_id, hours, sent, delivered, read, replied)
    SELECT
        h.campaign_id, array_agg(h.hour ORDER BY h.hour), array_agg(h.sent ORDER BY h.hour), array_agg(h.delivered ORDER BY h.hour),
        array_agg(h.read ORDER BY h.hour), array_agg(h.replied ORDER BY h.hour)
    FROM headrace.campaign_hour h WHERE h.campaign_id = p_campaign_id GROUP BY h.campaign_id;
    DELETE FROM headrace.campaign_hour h WHERE h.campaign_id = p_campaign_id;
$$;
