-- purpose: the handler of stream campaign_stats: applies a batch of changes to the statistics
-- grain:   one batch; the number of messages that count differently now
-- reads:   stg_campaigns, headrace.campaign, campaign_computed_stats, and what touched_messages and fold_messages read
-- writes:  headrace.campaign, and what enter_state, settle_campaigns, fold_messages and request_amendments write
-- locks:   the campaigns' own rows, in id order
CREATE OR REPLACE FUNCTION headrace.campaign_stats_apply(p_changes headrace.change_log[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_emptied boolean;
    v_named uuid[];
    v_renewed uuid[];
    v_pending uuid[];  -- campaigns that returned or disappeared
    v_states text[];
    v_all uuid[];
    v_left uuid[];  -- campaigns that messages left, by deletion or for another one
    v_left_messages text[];
    v_archived boolean;
    v_late text[];  -- messages that may be late for frozen campaigns; null: all touched ones
    v_touched record;
    v_counted bigint;
BEGIN
    SELECT
        bool_or(c.op IN ('T', 'X')),
        array_agg(DISTINCT c.entity_id::uuid) FILTER (WHERE c.source = 'campaigns' AND c.op NOT IN ('T', 'X')),
        array_agg(DISTINCT c.entity_id::uuid) FILTER (WHERE c.source = 'campaigns' AND c.op IN ('I', 'D')),
        -- except deletes by the archive: those messages stay in the frozen documents
        array_agg((c.data #>> '{old,campaign_id}')::uuid) FILTER (
            WHERE c.source = 'send_queue' AND c.op IN ('U', 'D') AND c.data #>> '{old,campaign_id}' IS NOT NULL AND (c.op = 'D' AND c.cause = 'headrace.archive') IS NOT TRUE),
        array_agg(c.entity_id) FILTER (
            WHERE c.source = 'send_queue' AND c.op IN ('U', 'D') AND c.data #>> '{old,campaign_id}' IS NOT NULL AND (c.op = 'D' AND c.cause = 'headrace.archive') IS NOT TRUE),
        bool_or(c.op = 'D' AND c.cause = 'headrace.archive')
    INTO v_emptied, v_named, v_renewed, v_left, v_left_messages, v_archived FROM unnest(p_changes) c;
    IF v_emptied THEN
        v_all := ARRAY(SELECT campaign_id FROM headrace.campaign UNION SELECT campaign_id FROM headrace.stg_campaigns());
        PERFORM headrace.lock_campaigns(v_all);
        UPDATE headrace.campaign c SET rebuild_requested_at = clock_timestamp() FROM unnest(v_all) u (id) WHERE c.campaign_id = u.id;
    END IF;
    IF v_named IS NOT NULL THEN
        -- A rebuild counts campaigns that appeared or disappeared; until then they are neither live nor settling, and folds skip them.
        PERFORM headrace.lock_campaigns(v_named);
        WITH asked AS (
            UPDATE headrace.campaign c SET rebuild_requested_at = clock_timestamp()
            FROM (
                SELECT
                    n.id, r.id IS NOT NULL AS renewed,
                    (SELECT coalesce(s.status, '') FROM headrace.stg_campaigns() s WHERE s.campaign_id = n.id) AS status
                FROM unnest(v_named) n (id) LEFT JOIN unnest(v_renewed) r (id) ON r.id = n.id
            ) x
            WHERE c.campaign_id = x.id AND (
                x.renewed OR c.state IN ('pending', 'deleted') OR x.status IS NULL
                OR c.state IN ('frozen', 'amended') AND (
                    headrace.lifecycle_state(c.state, x.status, c.frozen_status, NULL, NULL) NOT IN ('frozen', 'amended')
                    -- it was deleted until now: another campaign has its id
                    OR EXISTS (SELECT FROM headrace.campaign_computed_stats d WHERE d.campaign_id = c.campaign_id AND d.deleted_at IS NOT NULL)))
            RETURNING c.campaign_id, c.state = 'deleted' OR c.state IN ('live', 'settling') AND x.status IS NULL AS pending
        )
        SELECT array_agg(a.campaign_id), array_agg('pending'::text) INTO v_pending, v_states FROM asked a WHERE a.pending;
        PERFORM headrace.enter_state(v_pending, v_states);
        PERFORM headrace.settle_campaigns(v_named, true);
    END IF;
    SELECT * INTO v_touched FROM headrace.touched_messages(p_changes);
    v_touched.campaigns := v_touched.campaigns || v_left;
    IF v_archived THEN
        SELECT t.messages INTO v_late
        FROM headrace.touched_messages(ARRAY(SELECT c FROM unnest(p_changes) c WHERE (c.op = 'D' AND c.cause = 'headrace.archive') IS NOT TRUE)) t;
    END IF;
    v_counted := headrace.fold_messages(v_touched.messages, v_touched.campaigns, v_late);
    PERFORM headrace.request_amendments(v_left, v_left_messages);
    RETURN v_counted;
END
$$;
