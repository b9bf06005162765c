-- purpose: the application's campaigns, as Headrace reads them
-- grain:   one row per campaign
-- reads:   {{ source }}.campaigns
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE VIEW headrace.stg_campaigns AS
SELECT
    c.id AS campaign_id,
    c.name::text AS name,
    c.status::text AS status,
    {{ optional('campaigns', 'user_id', 'c.user_id', 'NULL::text') }} AS user_id,
    c.created_at,
    {{ optional('campaigns', 'completed_at', 'c.completed_at', 'NULL::timestamptz') }} AS completed_at
FROM {{ source }}.campaigns AS c
