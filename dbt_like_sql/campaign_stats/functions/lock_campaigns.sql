-- purpose: creates and locks Headrace's own rows of campaigns; folds, rebuilds and everything else that changes them take this lock first
-- grain:   the campaigns named, in id order
-- reads:   headrace.campaign
-- writes:  headrace.campaign: a campaign not seen before is created as pending, with its rebuild requested
-- locks:   the rows, FOR NO KEY UPDATE, until the transaction ends
--
-- A join instead of a comparison with the array, so that each of a hundred thousand campaigns is looked up only once.
CREATE OR REPLACE FUNCTION headrace.lock_campaigns(p_campaigns uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    INSERT INTO headrace.campaign (campaign_id, rebuild_requested_at)
    SELECT u.id, clock_timestamp() FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id WHERE id IS NOT NULL) u
    WHERE NOT EXISTS (SELECT FROM headrace.campaign c WHERE c.campaign_id = u.id)
    ORDER BY u.id
    ON CONFLICT (campaign_id) DO NOTHING;
    PERFORM FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id) u INNER JOIN headrace.campaign c ON c.campaign_id = u.id
    ORDER BY c.campaign_id FOR NO KEY UPDATE OF c;
END
$$;
