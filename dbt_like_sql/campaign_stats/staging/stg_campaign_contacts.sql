-- purpose: the contacts a campaign is to reach
-- grain:   one row per campaign contact
-- reads:   {{ source }}.campaign_contacts
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE VIEW headrace.stg_campaign_contacts AS
SELECT
    k.campaign_id,
    k.template_name::text AS template_name
FROM {{ source }}.campaign_contacts AS k
