-- purpose: makes sure that no rows went between the count of a campaign and its freeze, which notes what rows it was counted from
-- grain:   one campaign that was frozen in this transaction; p_before: its row counts before it was counted, null where they are not known
-- reads:   headrace.campaign
-- writes:  nothing; fails with serialization_failure, to be tried again: rows that are gone by then are not counted, nor noted
-- locks:   none
--
-- Noted without them, the numbers would have them, and the next amendment would take them away: nobody would miss rows.
CREATE OR REPLACE FUNCTION headrace.check_frozen_rows(p_campaign_id uuid, p_before jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    IF headrace.missing_source_rows(
        p_before, (SELECT k.source_rows FROM headrace.campaign k WHERE k.campaign_id = p_campaign_id)) <> '{}'
    THEN
        RAISE EXCEPTION 'rows of campaign % went while they were being counted; trying again', p_campaign_id USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;
