-- purpose: queues campaigns for a rebuild after a partition of a source table disappeared with its rows; frozen documents stand
-- grain:   all campaigns that are not frozen; how many were queued, null if the partition was one of table campaigns
-- reads:   headrace.campaign_standing
-- writes:  headrace.campaign
-- locks:   the campaigns' own rows, in id order
CREATE OR REPLACE FUNCTION headrace.request_rebuild_of_unfrozen(p_source text) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT headrace.request_rebuild(ARRAY(SELECT s.campaign_id FROM headrace.campaign_standing s WHERE NOT s.final AND s.state <> 'deleted'))
    WHERE p_source <> 'campaigns'
$$;
