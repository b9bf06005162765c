-- purpose: makes sure that a campaign lost no source rows between its count and its freeze, which records how many rows it was counted from
-- grain:   one campaign frozen in this transaction; p_before: its row counts before it was counted, null if unknown
-- reads:   headrace.campaign
-- writes:  nothing; raises serialization_failure if rows are gone, so that the next try neither counts nor records them
-- locks:   none
--
-- Otherwise the numbers would include rows that the record does not: the next amendment would subtract them, and nobody would notice.
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
