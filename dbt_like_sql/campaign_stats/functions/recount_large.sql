-- purpose: stores what a campaign's messages count as, in one pass over its source rows
-- grain:   one campaign; how many of its messages counted differently. The caller sets its counters and document
-- reads:   message_outcome_live, stg_send_queue, headrace.message_outcome
-- writes:  headrace.message_outcome, activity, and what take_moved_messages writes about campaigns that messages moved from
-- locks:   the campaign's own row: the caller holds it; the own rows of campaigns that messages moved from
--
-- Statements instead of arrays: the server spills to disk what does not fit into memory.
CREATE OR REPLACE FUNCTION headrace.recount_large(p_campaign_id uuid) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET jit = off
AS $$
DECLARE
    v_changed bigint;
    v_tries integer := 0;
BEGIN
    LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM headrace.message_outcome o WHERE o.campaign_id = p_campaign_id) THEN
                INSERT INTO headrace.message_outcome (message_id, campaign_id, template_name, bits, sent_at, delivered_at, read_at, replied_at)
                SELECT
                    v.id::text COLLATE "C", v.campaign_id, headrace.template_key(v.template_name), v.bits::smallint,
                    v.sent_at, v.delivered_at, v.read_at, v.replied_at
                FROM headrace.message_outcome_live() v WHERE v.campaign_id = p_campaign_id
                ORDER BY 1;  -- in index order
                GET DIAGNOSTICS v_changed = ROW_COUNT;
            ELSE
                -- OFFSET 0: both sides have the size of the campaign and should be hashed once each.
                WITH change AS MATERIALIZED (
                    SELECT
                        o.message_id AS old_id, t.message_id AS new_id, t.campaign_id, t.template_name, t.bits,
                        t.sent_at, t.delivered_at, t.read_at, t.replied_at
                    FROM (
                        SELECT
                            v.id::text AS message_id, v.campaign_id, headrace.template_key(v.template_name) AS template_name,
                            v.bits::smallint AS bits, v.sent_at, v.delivered_at, v.read_at, v.replied_at
                        FROM headrace.message_outcome_live() v WHERE v.campaign_id = p_campaign_id OFFSET 0
                    ) t
                    FULL JOIN (SELECT s.* FROM headrace.message_outcome s WHERE s.campaign_id = p_campaign_id OFFSET 0) o
                        ON o.message_id = t.message_id
                    WHERE (o.message_id, o.template_name, o.bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at)
                        IS DISTINCT FROM (t.message_id, t.template_name, t.bits, t.sent_at, t.delivered_at, t.read_at, t.replied_at)
                ), gone AS (
                    DELETE FROM headrace.message_outcome m USING change c WHERE m.message_id = c.old_id AND c.new_id IS NULL
                ), other AS (
                    UPDATE headrace.message_outcome m SET
                        template_name = c.template_name, bits = c.bits, sent_at = c.sent_at, delivered_at = c.delivered_at,
                        read_at = c.read_at, replied_at = c.replied_at
                    FROM change c WHERE m.message_id = c.old_id AND c.new_id IS NOT NULL
                ), made AS (
                    INSERT INTO headrace.message_outcome (message_id, campaign_id, template_name, bits, sent_at, delivered_at, read_at, replied_at)
                    SELECT c.new_id, c.campaign_id, c.template_name, c.bits, c.sent_at, c.delivered_at, c.read_at, c.replied_at
                    FROM change c WHERE c.old_id IS NULL
                )
                SELECT count(*) INTO v_changed FROM change;
            END IF;
            EXIT;
        EXCEPTION WHEN unique_violation THEN
            v_tries := v_tries + 1;
            IF EXISTS (SELECT FROM headrace.stg_send_queue() q WHERE q.campaign_id = p_campaign_id GROUP BY q.id HAVING count(*) > 1) THEN
                RAISE EXCEPTION 'send_queue holds rows with the same id' USING ERRCODE = 'unique_violation';
            ELSIF v_tries > 3 THEN
                RAISE EXCEPTION 'messages were counted elsewhere at the same time; trying again' USING ERRCODE = 'serialization_failure';
            END IF;
            PERFORM headrace.take_moved_messages(p_campaign_id);
        END;
    END LOOP;
    IF v_changed > 0 THEN
        PERFORM headrace.touch_day(p_campaign_id, ARRAY['campaign_template_stats', 'campaign_computed_stats'], v_changed);
    END IF;
    RETURN v_changed;
END
$$;
