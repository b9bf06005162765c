-- purpose: the application's campaigns, as Headrace reads them
-- grain:   one row per campaign
-- reads:   {{ source }}.campaigns
-- writes:  nothing (inlined by the planner: only functions that pin their search_path call it; no object depends on the table)
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.stg_campaigns()
RETURNS TABLE (
    campaign_id uuid, name text, status text, user_id {{ type('campaigns', 'user_id') }}, created_at timestamptz, completed_at timestamptz
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT
        c.id, c.name::text, c.status::text,
        {{ optional('campaigns', 'user_id', 'c.user_id', 'NULL::text') }},
        c.created_at,
        {{ optional('campaigns', 'completed_at', 'c.completed_at', 'NULL::timestamptz') }}
    FROM {{ source }}.campaigns c
    WHERE headrace.source_holds('campaigns')
$$;
