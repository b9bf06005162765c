-- purpose: writes the serving documents of campaigns that are not frozen: what a worker and Dagster may do of refresh_documents
-- grain:   the campaigns named; how many documents changed
-- reads:   what refresh_documents reads
-- writes:  what refresh_documents writes of campaigns that are not frozen
-- locks:   as refresh_documents
CREATE OR REPLACE FUNCTION headrace.refresh_unfrozen_documents(p_campaigns uuid[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT headrace.refresh_documents(p_campaigns, false)
$$;
