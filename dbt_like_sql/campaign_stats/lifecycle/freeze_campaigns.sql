-- purpose: freezes campaigns now, whatever their status and however short they have settled
-- grain:   the campaigns named; how many were frozen (frozen ones stay as they are)
-- reads:   stg_campaigns, headrace.campaign, source_row_counts, and what rebuild_campaign_stats reads
-- writes:  what rebuild_campaign_stats and freeze_campaign write
-- locks:   the campaigns' own rows, in id order, before the source is read
CREATE OR REPLACE FUNCTION headrace.freeze_campaigns(p_campaigns uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_missing uuid;
    v_campaign uuid;
    v_rows jsonb;  -- row counts from before the count that is frozen
    v_frozen bigint := 0;
BEGIN
    SELECT id INTO v_missing FROM unnest(p_campaigns) id
    WHERE NOT EXISTS (SELECT FROM headrace.stg_campaigns() c WHERE c.campaign_id = id) ORDER BY id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no campaign %', v_missing USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM headrace.lock_campaigns(p_campaigns);
    FOR v_campaign IN
        SELECT k.campaign_id FROM headrace.campaign k
        WHERE k.campaign_id = ANY (p_campaigns) AND k.state NOT IN ('frozen', 'amended') ORDER BY k.campaign_id
    LOOP
        v_rows := headrace.source_row_counts(v_campaign);
        PERFORM headrace.rebuild_campaign_stats(ARRAY[v_campaign]);
        IF EXISTS (SELECT FROM headrace.campaign k WHERE k.campaign_id = v_campaign AND k.state IN ('live', 'settling')) THEN
            PERFORM headrace.freeze_campaign(v_campaign);
            PERFORM headrace.check_frozen_rows(v_campaign, v_rows);
        END IF;
        v_frozen := v_frozen + 1;
    END LOOP;
    RETURN v_frozen;
END
$$;
