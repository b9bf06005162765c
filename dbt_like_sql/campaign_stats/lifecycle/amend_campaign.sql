-- purpose: recounts a frozen campaign after late changes; keeps the earlier version and the differences on record
-- grain:   one campaign; how many counters and hours were wrong; null if not recounted: the source has fewer rows, without p_accept_fewer_rows
-- reads:   headrace.campaign, campaign_computed_stats, campaign_hourly_stats, source_row_counts, and what store_counts reads
-- writes:  the campaign's counters, series and document, campaign_stats_amendment, campaign_stats_pending_amendment, headrace.campaign, activity
-- locks:   the campaign's own row, before the source is read: the caller holds it
CREATE OR REPLACE FUNCTION headrace.amend_campaign(
    p_campaign_id uuid, p_status text, p_accept_fewer_rows boolean, p_reopen boolean
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    k headrace.campaign;
    d headrace.campaign_computed_stats;
    v_rows jsonb;
    v_rows_after jsonb;
    v_fewer boolean;
    v_reopened boolean;
    v_why jsonb;
    v_wrong bigint;
    v_series headrace.campaign_hour[];  -- as it was
    v_moved jsonb;  -- what changed in it; null: nothing
BEGIN
    SELECT * INTO k FROM headrace.campaign c WHERE c.campaign_id = p_campaign_id;
    SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id;
    v_rows := headrace.source_row_counts(p_campaign_id, k.source_rows);
    v_fewer := headrace.missing_source_rows(k.source_rows, v_rows) <> '{}';
    -- Without a document there is nothing to amend: the campaign is counted again, and frozen again if it is completed.
    v_reopened := p_reopen OR d.campaign_id IS NULL
        OR headrace.lifecycle_state(k.state, p_status, k.frozen_status, NULL, NULL) NOT IN ('frozen', 'amended');
    v_why := jsonb_strip_nulls(jsonb_build_object(
        'reason', CASE
            WHEN p_reopen THEN 'reopened by hand' WHEN v_reopened THEN 'reopened' WHEN k.late_messages IS NOT NULL THEN 'late changes' ELSE 'recount'
        END,
        'status', CASE WHEN v_reopened THEN p_status END, 'messages', to_jsonb(k.late_messages),
        'source_rows', v_rows, 'source_rows_before', k.source_rows));
    IF v_fewer AND NOT p_accept_fewer_rows THEN
        INSERT INTO headrace.campaign_stats_pending_amendment AS p (campaign_id, why, source_rows_then, source_rows_now)
        VALUES (p_campaign_id, v_why, k.source_rows, v_rows)
        ON CONFLICT (campaign_id) DO UPDATE SET
            why = excluded.why, source_rows_now = excluded.source_rows_now, times = p.times + 1, last_at = clock_timestamp();
        UPDATE headrace.campaign c SET rebuild_requested_at = NULL, rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
        WHERE c.campaign_id = p_campaign_id;
        RETURN NULL;
    END IF;

    v_series := ARRAY(
        SELECT ROW(h.*)::headrace.campaign_hour FROM headrace.campaign_hourly_stats h WHERE h.campaign_id = p_campaign_id);
    v_wrong := headrace.store_counts(ARRAY[p_campaign_id], true);
    -- Rows deleted since the first row count may be missing in the new numbers, although nobody accepted their loss.
    v_rows_after := headrace.source_row_counts(p_campaign_id);
    IF NOT p_accept_fewer_rows AND headrace.missing_source_rows(
        k.source_rows,
        CASE
            WHEN (v_rows_after -> 'messages_from', v_rows_after -> 'messages_until')
                = (k.source_rows -> 'messages_from', k.source_rows -> 'messages_until') THEN v_rows_after
            ELSE headrace.source_row_counts(p_campaign_id, k.source_rows)
        END) <> '{}'
    THEN
        RAISE EXCEPTION 'rows of campaign % went while they were being counted; trying again', p_campaign_id USING ERRCODE = 'serialization_failure';
    END IF;
    PERFORM headrace.refresh_documents(ARRAY[p_campaign_id], true);
    -- The series is frozen too: if only its numbers change, the record has those changes.
    SELECT jsonb_agg(jsonb_build_object('hour', m.hour, 'counter', m.key, 'from', m.was, 'to', m.now) ORDER BY m.hour, m.key)
    INTO v_moved
    FROM (
        SELECT hour, c.*
        FROM unnest(v_series) o FULL JOIN (SELECT h.* FROM headrace.campaign_hour h WHERE h.campaign_id = p_campaign_id) n USING (hour)
        CROSS JOIN LATERAL (VALUES
            ('sent', coalesce(o.sent, 0), coalesce(n.sent, 0)), ('delivered', coalesce(o.delivered, 0), coalesce(n.delivered, 0)),
            ('read', coalesce(o.read, 0), coalesce(n.read, 0)), ('replied', coalesce(o.replied, 0), coalesce(n.replied, 0))
        ) c (key, was, now)
        WHERE c.was <> c.now
        ORDER BY hour, c.key LIMIT 10000  -- messages of many years may have millions
    ) m;
    UPDATE headrace.campaign_computed_stats s SET version = s.version + 1, computed_at = clock_timestamp()
    WHERE s.campaign_id = p_campaign_id AND s.version = d.version AND v_moved IS NOT NULL;
    INSERT INTO headrace.campaign_stats_amendment
        (campaign_id, version, template_stats, totals, checksum, computed_at, frozen_at, changed, why)
    SELECT d.campaign_id, d.version, d.template_stats, d.totals, d.checksum, d.computed_at, coalesce(d.frozen_at, d.computed_at),
        coalesce(nullif(headrace.stats_differences(d.template_stats, d.totals, n.template_stats, n.totals), '[]'), v_moved, '[]'),
        v_why || CASE WHEN v_fewer THEN '{"fewer_rows_accepted": true}' ELSE '{}' END::jsonb
    FROM headrace.campaign_computed_stats n
    WHERE n.campaign_id = p_campaign_id AND d.campaign_id IS NOT NULL AND (n.version > d.version OR v_reopened);
    DELETE FROM headrace.campaign_stats_pending_amendment p WHERE p.campaign_id = p_campaign_id;
    IF v_reopened THEN
        -- The rebuild that follows must start from nothing.
        DELETE FROM headrace.campaign_template_stats t WHERE t.campaign_id = p_campaign_id;
        DELETE FROM headrace.campaign_hour h WHERE h.campaign_id = p_campaign_id;
        DELETE FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id;
        PERFORM headrace.enter_state(ARRAY[p_campaign_id], ARRAY['live'], p_by_hand => p_reopen);
        RETURN v_wrong;
    END IF;
    DELETE FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id;
    PERFORM headrace.pack_hours(p_campaign_id);
    PERFORM headrace.enter_state(
        ARRAY[p_campaign_id], ARRAY[CASE WHEN s.version > d.version THEN 'amended' ELSE k.state END], p_source_rows => v_rows_after)
    FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id;
    PERFORM headrace.touch_day(p_campaign_id, ARRAY['campaign_template_stats', 'campaign_computed_stats'])
    FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id AND s.version > d.version;
    RETURN v_wrong;
END
$$;
