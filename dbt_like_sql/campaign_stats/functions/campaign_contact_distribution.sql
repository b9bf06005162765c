-- purpose: a campaign's contacts per template: assigned, and queued for sending
-- grain:   one row per template of the campaign
-- reads:   stg_campaign_contacts, stg_send_queue
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.campaign_contact_distribution(p_campaign_id uuid)
RETURNS TABLE (template_name text, assigned bigint, queued bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT u.template_name, count(*) FILTER (WHERE u.assigned), count(*) FILTER (WHERE NOT u.assigned)
    FROM (
        SELECT k.template_name, true AS assigned FROM headrace.stg_campaign_contacts() k WHERE k.campaign_id = p_campaign_id
        UNION ALL
        SELECT q.template_name, false FROM headrace.stg_send_queue() q WHERE q.campaign_id = p_campaign_id
    ) u
    GROUP BY u.template_name
    ORDER BY u.template_name;
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(ARRAY['send_queue'], SQLSTATE, SQLERRM);
    RAISE;
END
$$;
