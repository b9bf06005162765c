-- purpose: rebuilds or freezes the campaigns that rebuild_pick picked, or writes their documents if only these are due
-- grain:   the campaigns named; how many
-- reads:   headrace.campaign_standing
-- writes:  campaign.document_due_at, and what rebuild_campaign_stats and refresh_documents write
-- locks:   the campaigns' own rows: the caller has held them since rebuild_pick
CREATE OR REPLACE FUNCTION headrace.rebuild_items(p_items text[]) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_rebuilds uuid[];
    v_documents uuid[];
BEGIN
    SELECT
        array_agg(s.campaign_id) FILTER (WHERE s.due), array_agg(s.campaign_id) FILTER (WHERE NOT s.due AND s.document_due_at IS NOT NULL)
    INTO v_rebuilds, v_documents
    FROM unnest(p_items) u (id) INNER JOIN headrace.campaign_standing s ON s.campaign_id = u.id::uuid;
    IF v_documents IS NOT NULL THEN
        PERFORM headrace.refresh_documents(v_documents);
        -- also for frozen campaigns, whose documents are not written
        UPDATE headrace.campaign c SET document_due_at = NULL WHERE c.campaign_id = ANY (v_documents) AND c.document_due_at IS NOT NULL;
    END IF;
    IF v_rebuilds IS NOT NULL THEN
        PERFORM headrace.rebuild_campaign_stats(v_rebuilds);
    END IF;
    RETURN cardinality(p_items);
END
$$;
