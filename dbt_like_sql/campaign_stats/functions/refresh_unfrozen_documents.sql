-- purpose: writes the serving documents of campaigns that are not frozen: the part of refresh_documents that workers and Dagster may call
-- grain:   the campaigns named; how many documents changed
-- reads:   what refresh_documents reads
-- writes:  what refresh_documents writes about campaigns that are not frozen
-- locks:   what refresh_documents locks
CREATE OR REPLACE FUNCTION headrace.refresh_unfrozen_documents(p_campaigns uuid[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT headrace.refresh_documents(p_campaigns, false)
$$;
