-- purpose: the contacts that a campaign should reach
-- grain:   one row per campaign contact
-- reads:   {{ source }}.campaign_contacts
-- writes:  nothing (inlined by the planner: only functions that pin their search_path call it; no object depends on the table)
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.stg_campaign_contacts()
RETURNS TABLE (campaign_id uuid, template_name text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT k.campaign_id, k.template_name::text
    FROM {{ source }}.campaign_contacts k
$$;
