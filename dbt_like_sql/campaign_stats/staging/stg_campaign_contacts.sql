-- purpose: the contacts a campaign is to reach
-- grain:   one row per campaign contact
-- reads:   {{ source }}.campaign_contacts
-- writes:  nothing (inlined by the planner: only what pins its search_path calls it; nothing depends on the table)
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.stg_campaign_contacts()
RETURNS TABLE (campaign_id uuid, template_name text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT k.campaign_id, k.template_name::text
    FROM {{ source }}.campaign_contacts k
$$;
