-- purpose: recomputes campaigns from their source rows and stores the result: outcomes, counters, documents
-- grain:   the campaigns named; how many messages counted differently, or else how many counters were wrong
-- reads:   headrace.campaign, stg_send_queue, headrace.message_outcome, and what rebuild_frozen and rebuild_unfrozen read
-- writes:  what rebuild_frozen and rebuild_unfrozen write
-- locks:   the campaigns' own rows, in id order, before the source is read (the protocol of fold_messages)
--
-- A campaign that the source no longer has is removed, one that has settled is frozen, a frozen one is amended. Small campaigns are
-- counted together, message by message as in a fold; a large one in one pass over its rows.
CREATE OR REPLACE FUNCTION headrace.rebuild_campaign_stats(p_campaigns uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    -- Beyond this, one pass over the campaign's rows is faster than looking up each message.
    v_small_messages constant bigint := 250;
    v_most_together constant bigint := 5000;
    v_campaign uuid;
    v_size bigint;
    v_together uuid[] := '{}';
    v_together_messages bigint := 0;
    v_wrong bigint;
    v_changed bigint := 0;
BEGIN
    PERFORM headrace.lock_campaigns(p_campaigns);
    FOR v_campaign IN
        SELECT c.campaign_id FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id) u INNER JOIN headrace.campaign c ON c.campaign_id = u.id
        ORDER BY c.campaign_id
    LOOP
        IF EXISTS (SELECT FROM headrace.campaign c WHERE c.campaign_id = v_campaign AND c.state IN ('frozen', 'amended')) THEN
            v_wrong := headrace.rebuild_frozen(v_campaign);
            v_changed := v_changed + coalesce(v_wrong, 0);
            CONTINUE WHEN v_wrong IS NULL
                OR EXISTS (SELECT FROM headrace.campaign c WHERE c.campaign_id = v_campaign AND c.state IN ('frozen', 'amended'));
        END IF;
        v_size := (
            SELECT count(*) FROM (
                SELECT FROM headrace.stg_send_queue() q WHERE q.campaign_id = v_campaign
                UNION ALL
                SELECT FROM headrace.message_outcome o WHERE o.campaign_id = v_campaign
                LIMIT 2 * v_small_messages + 1
            ) u);
        IF v_size > 2 * v_small_messages THEN
            v_changed := v_changed + headrace.rebuild_unfrozen(ARRAY[v_campaign], true);
            CONTINUE;
        END IF;
        v_together := v_together || v_campaign;
        v_together_messages := v_together_messages + v_size;
        IF v_together_messages >= v_most_together THEN
            v_changed := v_changed + headrace.rebuild_unfrozen(v_together, false);
            v_together := '{}';
            v_together_messages := 0;
        END IF;
    END LOOP;
    IF v_together <> '{}' THEN
        v_changed := v_changed + headrace.rebuild_unfrozen(v_together, false);
    END IF;
    RETURN v_changed;
END
$$;
