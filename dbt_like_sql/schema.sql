-- PostgreSQL database dump

-- Name: headrace; Type: SCHEMA; Schema: -; Owner: -

CREATE SCHEMA headrace;

-- Name: SCHEMA headrace; Type: COMMENT; Schema: -; Owner: -

COMMENT ON SCHEMA headrace IS 'Headrace: belongs to role headrace_owner. Made, changed and removed by headrace migrate and headrace uninstall.';

-- Name: missing; Type: TYPE; Schema: headrace; Owner: -

CREATE TYPE headrace.missing AS ENUM (
);

-- Name: outcome_change; Type: TYPE; Schema: headrace; Owner: -

CREATE TYPE headrace.outcome_change AS (
	message_id text,
	old_campaign uuid,
	old_template text,
	old_bits smallint,
	old_sent_at timestamp with time zone,
	old_delivered_at timestamp with time zone,
	old_read_at timestamp with time zone,
	old_replied_at timestamp with time zone,
	new_campaign uuid,
	new_template text,
	new_bits smallint,
	new_sent_at timestamp with time zone,
	new_delivered_at timestamp with time zone,
	new_read_at timestamp with time zone,
	new_replied_at timestamp with time zone
);

-- Name: add_change_log_partition(date); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.add_change_log_partition(p_day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET lock_timeout TO '80ms'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    AS $_$
DECLARE
    v_today constant date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    v_name constant text := 'change_log_' || to_char(p_day, 'YYYYMMDD');
    v_from constant timestamptz := p_day::timestamp AT TIME ZONE 'UTC';
    v_to constant timestamptz := (p_day + 1)::timestamp AT TIME ZONE 'UTC';
    v_near constant boolean := v_from < headrace.first_fenceable_moment();
BEGIN
    IF p_day NOT BETWEEN v_today - 31 AND v_today + 31 THEN
        RAISE EXCEPTION 'the change log has no partition for %: only for days at most 31 days from today', p_day
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- ATTACH takes this lock below. Taken before we look, so that of two sessions one waits and then finds the partition.
    LOCK TABLE ONLY headrace.change_log IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass('headrace.' || v_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF headrace.default_is_large() AND (v_near OR NOT EXISTS (
        SELECT FROM pg_constraint c
        WHERE c.conrelid = 'headrace.change_log_default'::regclass AND c.conname ~ '^fence_[0-9]{8}_[0-9]{8}$' AND c.convalidated
            AND to_date(split_part(c.conname, '_', 2), 'YYYYMMDD') <= p_day AND to_date(split_part(c.conname, '_', 3), 'YYYYMMDD') > p_day))
    THEN
        RETURN false;
    END IF;
    BEGIN
        EXECUTE format('CREATE TABLE headrace.%I (LIKE headrace.change_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', v_name);
        -- It has no key: under a publication of all tables its rows could otherwise not be moved or deleted.
        EXECUTE format('ALTER TABLE headrace.%I REPLICA IDENTITY FULL', v_name);
        EXECUTE format('ALTER TABLE headrace.%I ADD CONSTRAINT %I CHECK (changed_at >= %L AND changed_at < %L)', v_name, v_name || '_day', v_from, v_to);
        IF v_near THEN
            LOCK TABLE ONLY headrace.change_log IN ACCESS EXCLUSIVE MODE;
        END IF;
        PERFORM set_config('lock_timeout', '20ms', true);
        EXECUTE format('ALTER TABLE headrace.change_log ATTACH PARTITION headrace.%I FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_to);
        EXECUTE format('ALTER TABLE headrace.%I DROP CONSTRAINT %I', v_name, v_name || '_day');
    EXCEPTION WHEN check_violation THEN
        RETURN false;  -- DEFAULT holds changes of that day
    END;
    RETURN true;
END
$_$;

-- Name: altered_sources(text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.altered_sources(p_sources text[] DEFAULT NULL::text[]) RETURNS TABLE(source text, problem text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    FOR source IN
        SELECT s.source FROM headrace.source s
        WHERE (p_sources IS NULL AND s.triggers <> '{}' OR s.source = ANY (p_sources))
            AND s.mark <> coalesce(headrace.source_mark(s.schema_name, s.table_name, ARRAY(SELECT jsonb_object_keys(s.columns))), '')
        ORDER BY s.source
    LOOP
        SELECT p.what || '; run: ' || p.remedy INTO problem FROM headrace.source_problems(ARRAY[altered_sources.source]) p LIMIT 1;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Name: amend_campaign(uuid, text, boolean, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.amend_campaign(p_campaign_id uuid, p_status text, p_accept_fewer_rows boolean, p_reopen boolean) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
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

-- Name: amend_campaigns(uuid[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.amend_campaigns(p_campaigns uuid[], p_accept boolean) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_campaign uuid;
    v_status text;  -- null: the source has no such campaign
    v_decided bigint := 0;
BEGIN
    IF p_accept IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE =
            'p_accept is null: say true to count the rows that are left, or false to let the frozen numbers stand';
    END IF;
    PERFORM headrace.lock_campaigns(
        ARRAY(SELECT p.campaign_id FROM headrace.campaign_stats_pending_amendment p WHERE p.campaign_id = ANY (p_campaigns)));
    FOR v_campaign, v_status IN
        SELECT p.campaign_id, CASE WHEN c.campaign_id IS NOT NULL THEN coalesce(c.status, '') END
        FROM headrace.campaign_stats_pending_amendment p LEFT JOIN headrace.stg_campaigns() c ON c.campaign_id = p.campaign_id
        WHERE p.campaign_id = ANY (p_campaigns) ORDER BY p.campaign_id
    LOOP
        IF p_accept AND v_status IS NOT NULL THEN
            PERFORM headrace.amend_campaign(v_campaign, v_status, true, false);
            PERFORM headrace.rebuild_campaign_stats(ARRAY[v_campaign])
            FROM headrace.campaign k WHERE k.campaign_id = v_campaign AND k.state = 'live';
        ELSE
            DELETE FROM headrace.campaign_stats_pending_amendment p WHERE p.campaign_id = v_campaign;
            UPDATE headrace.campaign k SET late_messages = NULL WHERE k.campaign_id = v_campaign;
        END IF;
        v_decided := v_decided + 1;
    END LOOP;
    RETURN v_decided;
END
$$;

-- Name: apply_outcomes(headrace.outcome_change[], uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.apply_outcomes(p_changes headrace.outcome_change[], p_recounted uuid[] DEFAULT NULL::uuid[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_expected bigint;
    v_inserted bigint;
    v_campaigns uuid[];
    v_emptied uuid[];
    v_emptied_md5 uuid[];
    v_large uuid[];
    v_added headrace.outcome_change[] := p_changes;  -- changes that are added to counters
BEGIN
    IF coalesce(cardinality(p_changes), 0) = 0 THEN
        RETURN 0;
    END IF;

    INSERT INTO headrace.message_outcome (message_id, campaign_id, template_name, bits, sent_at, delivered_at, read_at, replied_at)
    SELECT
        d.message_id, d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
    FROM unnest(p_changes) d
    WHERE d.old_campaign IS NULL AND d.new_campaign IS NOT NULL
    ON CONFLICT (message_id) DO NOTHING;
    GET DIAGNOSTICS v_inserted = ROW_COUNT;
    SELECT count(*) INTO v_expected FROM unnest(p_changes) d WHERE d.old_campaign IS NULL AND d.new_campaign IS NOT NULL;
    IF v_inserted <> v_expected AND v_expected <> (
        SELECT count(DISTINCT d.message_id) FROM unnest(p_changes) d WHERE d.old_campaign IS NULL AND d.new_campaign IS NOT NULL)
    THEN
        RAISE EXCEPTION 'send_queue holds rows with the same id' USING ERRCODE = 'unique_violation';
    ELSIF v_inserted <> v_expected THEN
        RAISE EXCEPTION 'messages were counted elsewhere at the same time; trying again' USING ERRCODE = 'serialization_failure';
    END IF;
    UPDATE headrace.message_outcome o SET
        campaign_id = d.new_campaign, template_name = d.new_template, bits = d.new_bits,
        sent_at = d.new_sent_at, delivered_at = d.new_delivered_at, read_at = d.new_read_at, replied_at = d.new_replied_at
    FROM unnest(p_changes) d
    WHERE o.message_id = d.message_id AND d.old_campaign IS NOT NULL AND d.new_campaign IS NOT NULL;
    DELETE FROM headrace.message_outcome o USING unnest(p_changes) d
    WHERE o.message_id = d.message_id AND d.old_campaign IS NOT NULL AND d.new_campaign IS NULL;

    IF p_recounted IS NOT NULL THEN
        v_added := ARRAY(
            SELECT ROW(
                d.message_id,
                CASE WHEN d.old_campaign <> ALL (p_recounted) THEN d.old_campaign END,
                d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at,
                CASE WHEN d.new_campaign <> ALL (p_recounted) THEN d.new_campaign END,
                d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
            )::headrace.outcome_change
            FROM unnest(p_changes) d WHERE d.old_campaign <> ALL (p_recounted) OR d.new_campaign <> ALL (p_recounted));
    END IF;
    IF cardinality(v_added) > 0 THEN
        WITH delta AS MATERIALIZED (
            SELECT
                x.campaign_id, x.template_name, headrace.template_md5(x.template_name) AS template_md5,
                min(d.message_id) FILTER (WHERE x.sign = 1 AND octet_length(x.template_name) > 1000) AS message_id,
                sum(x.sign) AS total,
                sum(x.sign) FILTER (WHERE x.bits & 1 > 0) AS sent,
                sum(x.sign) FILTER (WHERE x.bits & 2 > 0) AS delivered,
                sum(x.sign) FILTER (WHERE x.bits & 4 > 0) AS read,
                sum(x.sign) FILTER (WHERE x.bits & 32 > 0) AS replied,
                sum(x.sign) FILTER (WHERE x.bits & 8 > 0) AS failed,
                sum(x.sign) FILTER (WHERE x.bits & 16 > 0) AS failed_queue
            FROM unnest(v_added) d
            CROSS JOIN LATERAL (VALUES
                (d.new_campaign, d.new_template, d.new_bits, 1), (d.old_campaign, d.old_template, d.old_bits, -1)
            ) x (campaign_id, template_name, bits, sign)
            WHERE x.campaign_id IS NOT NULL
                AND (d.old_campaign, d.old_template, d.old_bits) IS DISTINCT FROM (d.new_campaign, d.new_template, d.new_bits)
            GROUP BY x.campaign_id, x.template_name
        ), added AS (
            UPDATE headrace.campaign_template_stats s SET
                total = s.total + d.total, sent = s.sent + coalesce(d.sent, 0), delivered = s.delivered + coalesce(d.delivered, 0),
                read = s.read + coalesce(d.read, 0), replied = s.replied + coalesce(d.replied, 0),
                failed = s.failed + coalesce(d.failed, 0), failed_queue = s.failed_queue + coalesce(d.failed_queue, 0),
                updated_at = clock_timestamp()
            FROM delta d
            WHERE s.campaign_id = d.campaign_id AND s.template_md5 = d.template_md5
            RETURNING s.campaign_id, s.template_md5, s.total
        ), made AS (
            INSERT INTO headrace.campaign_template_stats
                (campaign_id, template_md5, template_name, total, sent, delivered, read, replied, failed, failed_queue)
            SELECT
                d.campaign_id, d.template_md5,
                CASE WHEN d.message_id IS NULL THEN d.template_name ELSE headrace.whole_template_name(d.template_name, d.message_id) END,
                d.total, coalesce(d.sent, 0), coalesce(d.delivered, 0), coalesce(d.read, 0),
                coalesce(d.replied, 0), coalesce(d.failed, 0), coalesce(d.failed_queue, 0)
            FROM delta d
            WHERE NOT EXISTS (
                SELECT FROM headrace.campaign_template_stats s
                WHERE s.campaign_id = d.campaign_id AND s.template_md5 = d.template_md5)
            RETURNING campaign_id, template_md5, total
        )
        SELECT
            array_agg(DISTINCT u.campaign_id), array_agg(u.campaign_id) FILTER (WHERE u.total = 0),
            array_agg(u.template_md5) FILTER (WHERE u.total = 0)
        INTO v_campaigns, v_emptied, v_emptied_md5
        FROM (SELECT a.* FROM added a UNION ALL SELECT m.* FROM made m) u;
        v_campaigns := v_campaigns || headrace.apply_times(v_added);
        IF v_emptied IS NOT NULL THEN
            DELETE FROM headrace.campaign_template_stats s USING unnest(v_emptied, v_emptied_md5) e (campaign_id, template_md5)
            WHERE s.campaign_id = e.campaign_id AND s.template_md5 = e.template_md5 AND s.total = 0;
        END IF;
        SELECT array_agg(d.campaign_id) INTO v_large
        FROM headrace.campaign_computed_stats d WHERE d.campaign_id = ANY (v_campaigns) AND d.totals ? 'templates';
        IF v_large IS NOT NULL THEN
            UPDATE headrace.campaign c SET
                document_due_at = clock_timestamp() + least(interval '10 microseconds' * (d.totals ->> 'templates')::bigint, interval '1 minute')
            FROM headrace.campaign_computed_stats d
            WHERE d.campaign_id = ANY (v_large) AND c.campaign_id = d.campaign_id AND c.document_due_at IS NULL;
            v_campaigns := ARRAY(SELECT unnest(v_campaigns) EXCEPT SELECT unnest(v_large));
        END IF;
        PERFORM headrace.refresh_documents(v_campaigns);
    END IF;

    PERFORM headrace.record_activity(
        ARRAY['campaign_template_stats', 'campaign_computed_stats'], array_agg(a.day), array_agg(a.n))
    FROM (
        SELECT (c.created_at AT TIME ZONE 'UTC')::date AS day, sum(d.n)::bigint AS n
        FROM (SELECT coalesce(u.new_campaign, u.old_campaign) AS campaign_id, count(*) AS n FROM unnest(p_changes) u GROUP BY 1) d
        INNER JOIN headrace.stg_campaigns() c ON c.campaign_id = d.campaign_id
        -- days that can be partitions and that clients can read
        WHERE c.created_at >= '0001-01-02 UTC' AND c.created_at < '9999-12-31 UTC'
        GROUP BY 1
    ) a;
    RETURN cardinality(p_changes);
END
$$;

-- Name: apply_times(headrace.outcome_change[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.apply_times(p_changes headrace.outcome_change[]) RETURNS uuid[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_campaigns uuid[];
    v_hours timestamptz[];
BEGIN
    WITH change AS MATERIALIZED (
        SELECT d.*, d.old_campaign IS DISTINCT FROM d.new_campaign AS moved FROM unnest(p_changes) d
    ), evidence AS (
        SELECT c.new_campaign AS campaign_id, c.new_sent_at AS at, 1 AS sent, 0 AS delivered, 0 AS read, 0 AS replied
        FROM change c WHERE c.moved OR c.new_sent_at IS DISTINCT FROM c.old_sent_at
        UNION ALL
        SELECT c.old_campaign, c.old_sent_at, -1, 0, 0, 0
        FROM change c WHERE c.moved OR c.new_sent_at IS DISTINCT FROM c.old_sent_at
        UNION ALL
        SELECT c.new_campaign, c.new_delivered_at, 0, 1, 0, 0
        FROM change c WHERE c.moved OR c.new_delivered_at IS DISTINCT FROM c.old_delivered_at
        UNION ALL
        SELECT c.old_campaign, c.old_delivered_at, 0, -1, 0, 0
        FROM change c WHERE c.moved OR c.new_delivered_at IS DISTINCT FROM c.old_delivered_at
        UNION ALL
        SELECT c.new_campaign, c.new_read_at, 0, 0, 1, 0
        FROM change c WHERE c.moved OR c.new_read_at IS DISTINCT FROM c.old_read_at
        UNION ALL
        SELECT c.old_campaign, c.old_read_at, 0, 0, -1, 0
        FROM change c WHERE c.moved OR c.new_read_at IS DISTINCT FROM c.old_read_at
        UNION ALL
        SELECT c.new_campaign, c.new_replied_at, 0, 0, 0, 1
        FROM change c WHERE c.moved OR c.new_replied_at IS DISTINCT FROM c.old_replied_at
        UNION ALL
        SELECT c.old_campaign, c.old_replied_at, 0, 0, 0, -1
        FROM change c WHERE c.moved OR c.new_replied_at IS DISTINCT FROM c.old_replied_at
    ), delta AS (
        SELECT
            e.campaign_id, date_bin('1 hour', e.at, '2000-01-01 00:00+00') AS hour,
            sum(e.sent) AS sent, sum(e.delivered) AS delivered, sum(e.read) AS read, sum(e.replied) AS replied
        FROM evidence e
        WHERE e.campaign_id IS NOT NULL AND isfinite(e.at)
        GROUP BY 1, 2
        HAVING (sum(e.sent), sum(e.delivered), sum(e.read), sum(e.replied)) <> (0, 0, 0, 0)
    ), added AS (
        UPDATE headrace.campaign_hour h SET
            sent = h.sent + d.sent, delivered = h.delivered + d.delivered, read = h.read + d.read, replied = h.replied + d.replied
        FROM delta d
        WHERE h.campaign_id = d.campaign_id AND h.hour = d.hour
        RETURNING h.*
    ), made AS (
        INSERT INTO headrace.campaign_hour (campaign_id, hour, sent, delivered, read, replied)
        SELECT d.campaign_id, d.hour, d.sent, d.delivered, d.read, d.replied FROM delta d
        WHERE NOT EXISTS (SELECT FROM headrace.campaign_hour h WHERE h.campaign_id = d.campaign_id AND h.hour = d.hour)
    )
    SELECT array_agg(a.campaign_id), array_agg(a.hour) INTO v_campaigns, v_hours
    FROM added a WHERE (a.sent, a.delivered, a.read, a.replied) = (0, 0, 0, 0);
    IF v_campaigns IS NOT NULL THEN
        DELETE FROM headrace.campaign_hour h USING unnest(v_campaigns, v_hours) e (campaign_id, hour)
        WHERE h.campaign_id = e.campaign_id AND h.hour = e.hour AND (h.sent, h.delivered, h.read, h.replied) = (0, 0, 0, 0);
    END IF;

    -- Not with VALUES, whose expressions are initialized again for every row.
    WITH change AS MATERIALIZED (
        SELECT d.* FROM unnest(p_changes) d
    ), latency AS (
        SELECT c.new_campaign AS campaign_id, 'd'::"char" AS kind, headrace.latency_seconds(c.new_sent_at, c.new_delivered_at) AS seconds, 1 AS sign
        FROM change c
        UNION ALL
        SELECT c.old_campaign, 'd', headrace.latency_seconds(c.old_sent_at, c.old_delivered_at), -1 FROM change c
        UNION ALL
        SELECT c.new_campaign, 'r', headrace.latency_seconds(c.new_sent_at, c.new_read_at), 1 FROM change c
        UNION ALL
        SELECT c.old_campaign, 'r', headrace.latency_seconds(c.old_sent_at, c.old_read_at), -1 FROM change c
    ), delta AS (
        SELECT l.campaign_id, l.kind, l.seconds, sum(l.sign)::integer AS messages
        FROM latency l
        WHERE l.campaign_id IS NOT NULL AND l.seconds IS NOT NULL
        GROUP BY 1, 2, 3
        HAVING sum(l.sign) <> 0
    ), block AS (
        SELECT
            d.campaign_id, d.kind, headrace.latency_block(d.seconds) AS block, array_agg(d.seconds) AS seconds, array_agg(d.messages) AS added,
            sum(d.messages) AS messages
        FROM delta d GROUP BY 1, 2, 3
    ), added AS (
        UPDATE headrace.campaign_latency l SET
            messages = l.messages + b.messages,
            (seconds, counts) = (SELECT m.vals, m.counts FROM headrace.merge_counts(l.seconds, l.counts, b.seconds, b.added) m)
        FROM block b
        WHERE l.campaign_id = b.campaign_id AND l.kind = b.kind AND l.block = b.block
    ), made AS (
        INSERT INTO headrace.campaign_latency (campaign_id, kind, block, messages, seconds, counts)
        SELECT b.campaign_id, b.kind, b.block, b.messages, m.vals, m.counts
        FROM block b CROSS JOIN LATERAL headrace.merge_counts('{}', '{}', b.seconds, b.added) m
        WHERE NOT EXISTS (
            SELECT FROM headrace.campaign_latency l WHERE l.campaign_id = b.campaign_id AND l.kind = b.kind AND l.block = b.block)
    )
    SELECT array_agg(DISTINCT b.campaign_id) INTO v_campaigns FROM block b;
    RETURN v_campaigns;
END
$$;

-- Name: calendar_day(timestamp with time zone); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.calendar_day(p_at timestamp with time zone) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((p_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (p_at < '9999-12-31 00:00:00+00'::timestamp with time zone)) THEN ((p_at AT TIME ZONE 'UTC'::text))::date ELSE NULL::date END;

-- Name: campaign_contact_distribution(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.campaign_contact_distribution(p_campaign_id uuid) RETURNS TABLE(template_name text, assigned bigint, queued bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
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

-- Name: campaign_stats(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.campaign_stats(p_campaign_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
    v_facts jsonb;
    v_status text;
    v_state text;
    v_paused text;
    v_more jsonb := '{}';
    d headrace.campaign_computed_stats;
BEGIN
    BEGIN
        SELECT
            c.status, k.state,
            jsonb_build_object(
                'campaign_id', c.campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
        INTO v_status, v_state, v_facts
        FROM headrace.stg_campaigns() c LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
        WHERE c.campaign_id = p_campaign_id;
    EXCEPTION WHEN OTHERS THEN
        v_paused := headrace.unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
        IF v_paused IS NULL THEN
            RAISE;
        END IF;
    END;
    IF v_paused IS NOT NULL THEN
        v_more := jsonb_build_object('paused', v_paused);
        SELECT
            c.status, k.state,
            jsonb_build_object(
                'campaign_id', p_campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
        INTO v_status, v_state, v_facts
        FROM (SELECT p_campaign_id AS id) i
        LEFT JOIN headrace.readable_campaigns(ARRAY[p_campaign_id]) c ON c.campaign_id = i.id
        LEFT JOIN headrace.campaign k ON k.campaign_id = i.id
        WHERE c.campaign_id IS NOT NULL
            -- nobody can tell whether there is such a campaign
            OR EXISTS (SELECT FROM headrace.source_problems(ARRAY['campaigns']) p WHERE coalesce(p.column_name, 'id') = 'id');
    END IF;
    IF v_facts IS NULL THEN
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id AND s.frozen_at IS NOT NULL;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        RETURN headrace.document_json(d.facts, d) || v_more;
    END IF;
    IF v_state IN ('live', 'settling', 'frozen', 'amended') AND (v_state IN ('frozen', 'amended') OR coalesce(v_status, '') NOT IN ('scheduled', 'failed')) THEN
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id;
        IF FOUND AND v_paused IS NULL THEN
            RETURN headrace.document_json(v_facts, d);
        ELSIF FOUND THEN
            -- Present facts about the campaign take precedence over those from its freeze.
            RETURN headrace.document_json(v_facts || coalesce(d.facts, '{}') || jsonb_strip_nulls(v_facts), d) || v_more;
        END IF;
    END IF;
    IF v_status IN ('scheduled', 'failed') THEN
        RETURN v_facts || jsonb_build_object(
            'source', 'none', 'state', NULL, 'version', NULL, 'computed_at', NULL, 'age_seconds', NULL, 'frozen_at', NULL, 'deleted_at', NULL,
            'totals', NULL, 'template_stats', NULL) || v_more;
    END IF;
    IF v_paused IS NOT NULL THEN
        RAISE EXCEPTION '%', v_paused USING ERRCODE = 'HR001';
    END IF;
    BEGIN
        RETURN v_facts || jsonb_build_object(
            'source', 'live', 'state', 'live', 'version', NULL, 'computed_at', clock_timestamp(), 'age_seconds', 0,
            'frozen_at', NULL, 'deleted_at', NULL
        ) || headrace.live_stats(p_campaign_id);
    EXCEPTION WHEN OTHERS THEN
        PERFORM headrace.raise_unreadable(NULL, SQLSTATE, SQLERRM);
        RAISE;
    END;
END
$$;

-- Name: change_log; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.change_log (
    pos bigint NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    source text NOT NULL,
    op "char" NOT NULL,
    entity_id text,
    scope text,
    data jsonb,
    cause text
)
PARTITION BY RANGE (changed_at);

ALTER TABLE ONLY headrace.change_log REPLICA IDENTITY FULL;

-- Name: TABLE change_log; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.change_log IS 'One row per captured change of a source row (op T: a whole table was truncated). Partitioned by UTC day.';

-- Name: COLUMN change_log.op; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.change_log.op IS 'I inserted, U updated, D deleted; T truncated, X not readable (a column was renamed or dropped): these two stand for a whole table.';

-- Name: campaign_stats_apply(headrace.change_log[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.campaign_stats_apply(p_changes headrace.change_log[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
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

-- Name: campaigns_created(timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.campaigns_created(p_from timestamp with time zone DEFAULT NULL::timestamp with time zone, p_to timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(campaign_id uuid, name text, status text, created_at timestamp with time zone, completed_at timestamp with time zone, day date)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET jit TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    SELECT c.campaign_id, c.name, c.status, c.created_at, c.completed_at, headrace.calendar_day(c.created_at)
    FROM headrace.stg_campaigns() c
    WHERE (p_from IS NULL OR c.created_at >= p_from) AND (p_to IS NULL OR c.created_at < p_to);
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
    RAISE;
END
$$;

-- Name: campaigns_named(uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.campaigns_named(p_campaigns uuid[]) RETURNS TABLE(campaign_id uuid, name text, status text, created_at timestamp with time zone, completed_at timestamp with time zone, day date)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    SELECT c.campaign_id, c.name, c.status, c.created_at, c.completed_at, headrace.calendar_day(c.created_at)
    FROM headrace.stg_campaigns() c WHERE c.campaign_id = ANY (p_campaigns);
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
    RAISE;
END
$$;

-- Name: capture_campaigns_delete(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_campaigns_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'campaigns', CASE WHEN v.lacking THEN 'X' ELSE 'D' END::"char", v.entity, v.scope, v.data, left(NULLIF(current_setting('headrace.cause', true), ''), 200) FROM changed_rows r CROSS JOIN (SELECT NULL::headrace.missing AS id) absent CROSS JOIN LATERAL (SELECT pg_typeof(id) = 'headrace.missing'::regtype AS lacking, NULL::jsonb AS data, id::text AS entity, NULL AS scope FROM (SELECT r.*) x) v; RETURN NULL; END $$;

-- Name: capture_campaigns_insert(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_campaigns_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'campaigns', CASE WHEN v.lacking THEN 'X' ELSE 'I' END::"char", v.entity, v.scope, v.data, left(NULLIF(current_setting('headrace.cause', true), ''), 200) FROM changed_rows r CROSS JOIN (SELECT NULL::headrace.missing AS id) absent CROSS JOIN LATERAL (SELECT pg_typeof(id) = 'headrace.missing'::regtype AS lacking, NULL::jsonb AS data, id::text AS entity, NULL AS scope FROM (SELECT r.*) x) v; RETURN NULL; END $$;

-- Name: capture_campaigns_truncate(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_campaigns_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('campaigns', 'T', NULL, NULL, NULL, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); RETURN NULL; END $$;

-- Name: capture_campaigns_update(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_campaigns_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ DECLARE v_entity text; v_scope text; v_data jsonb; v_moved boolean; v_old_entity text; v_old_scope text; BEGIN BEGIN IF NOT (OLD.id IS DISTINCT FROM NEW.id OR OLD.status IS DISTINCT FROM NEW.status OR OLD.created_at IS DISTINCT FROM NEW.created_at OR OLD.completed_at IS DISTINCT FROM NEW.completed_at) THEN RETURN NULL; END IF; v_entity := NEW.id::text; v_moved := OLD.id IS DISTINCT FROM NEW.id; IF v_moved THEN v_old_entity := OLD.id::text; END IF; EXCEPTION WHEN OTHERS THEN BEGIN PERFORM headrace.log_change_anew('campaigns', 'U', to_jsonb(OLD), to_jsonb(NEW), '{"keys": [], "left": [], "scope": null, "watch": ["id", "status", "created_at", "completed_at"], "entity": "id", "only_value": null, "only_column": null}', left(NULLIF(current_setting('headrace.cause', true), ''), 200)); EXCEPTION WHEN OTHERS THEN INSERT INTO headrace.change_log (source, op) VALUES ('campaigns', 'X'); END; RETURN NULL; END; INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('campaigns', 'U', v_entity, v_scope, v_data, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); IF v_moved THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('campaigns', 'U', v_old_entity, v_old_scope, v_data, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); END IF; RETURN NULL; END $$;

-- Name: capture_faults(text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_faults(p_sources text[] DEFAULT NULL::text[]) RETURNS TABLE(source text, fault text, op text, relation regclass, table_name text, found text, missed boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
    WITH root AS MATERIALIZED (
        SELECT s.source, n.source IS NOT NULL AS noted, n.triggers, n.functions, n.schema_name, n.table_name, (
            -- to_regclass would need a right on the application's schema
            SELECT c.oid FROM pg_class c INNER JOIN pg_namespace m ON m.oid = c.relnamespace
            WHERE m.nspname = n.schema_name AND c.relname = n.table_name AND c.relkind IN ('r', 'p')
        ) AS relid
        FROM (
            SELECT unnest(p_sources) AS source
            UNION SELECT k.source FROM headrace.source k WHERE p_sources IS NULL AND k.triggers <> '{}'
            UNION SELECT unnest(t.sources) FROM headrace.stream t WHERE p_sources IS NULL
        ) s
        LEFT JOIN headrace.source n ON n.source = s.source
    ), target AS (
        SELECT
            r.source, r.triggers, r.relid AS root, u.relid,
            c.relkind = 'p' OR EXISTS (SELECT FROM pg_subscription_rel x WHERE x.srrelid = r.relid) AS by_row
        FROM root r
        INNER JOIN pg_class c ON c.oid = r.relid
        CROSS JOIN LATERAL (SELECT r.relid UNION SELECT t.relid FROM pg_partition_tree(r.relid) t) u
    ), operation AS (
        SELECT r.source, o.op, o.type, p.oid AS function
        FROM root r
        CROSS JOIN (VALUES ('insert', 4), ('delete', 8), ('update', 16), ('truncate', 32)) o (op, type)
        LEFT JOIN pg_proc p
            ON p.pronamespace = 'headrace'::regnamespace AND p.proname = 'capture_' || r.source || '_' || o.op AND p.pronargs = 0
    ), bearer AS (
        SELECT DISTINCT o.source, g.tgrelid AS relid
        FROM operation o INNER JOIN pg_trigger g ON g.tgfoid = o.function
        WHERE g.tgparentid = 0
    ), bare AS (
        SELECT r.source, r.relid, (
            SELECT min(b.relid) FROM bearer b WHERE b.source = r.source AND b.relid NOT IN (SELECT t.relid FROM target t WHERE t.source = r.source)
        ) AS other
        FROM root r
        WHERE NOT EXISTS (SELECT FROM bearer b WHERE b.source = r.source AND b.relid = r.relid)
    ), trigger_now AS (
        SELECT
            t.source, t.relid, o.op,
            CASE
                WHEN g.oid IS NULL THEN 'missing'
                WHEN g.tgenabled = 'D' THEN 'disabled'
                WHEN g.tgenabled <> 'A' THEN 'not always'
                WHEN g.tgfoid IS DISTINCT FROM o.function OR g.tgqual IS NOT NULL
                    OR g.tgtype <> o.type + (o.op = 'update' OR t.by_row AND o.op <> 'truncate')::integer
                    -- clones on partitions bear no comment
                    OR g.tgparentid = 0 AND obj_description(g.oid, 'pg_trigger') IS DISTINCT FROM 'headrace ' || (t.triggers ->> o.op)
                    THEN 'differs'
            END AS fault,
            -- relfilenode as CREATE TABLE sets it; TRUNCATE or a rewrite changes it
            g.oid IS NULL AND o.op = 'truncate' AND t.relid <> t.root AND (SELECT c.relfilenode = c.oid FROM pg_class c WHERE c.oid = t.relid) AS fresh
        FROM target t
        INNER JOIN operation o ON o.source = t.source
        LEFT JOIN pg_trigger g ON g.tgrelid = t.relid AND g.tgname = '!headrace_' || o.op
        WHERE NOT EXISTS (SELECT FROM bare b WHERE b.source = t.source)
    ), fault AS (
        SELECT r.source, 'not noted' AS fault, NULL AS op, NULL::oid AS relid, NULL::oid AS other, true AS missed
        FROM root r WHERE NOT r.noted
        UNION ALL
        SELECT b.source, 'bare', NULL, b.relid, b.other, true
        FROM bare b WHERE b.relid IS NOT NULL
        UNION ALL
        SELECT t.source, t.fault, t.op, t.relid, NULL, NOT t.fresh FROM trigger_now t
        WHERE t.fault IS NOT NULL
        UNION ALL
        SELECT o.source, 'function', o.op, r.relid, NULL, true
        FROM operation o INNER JOIN root r ON r.source = o.source
        WHERE r.relid IS NOT NULL AND headrace.capture_fingerprint(o.function) <> r.functions ->> o.op
    )
    SELECT
        f.source, f.fault, f.op, f.relid::regclass,
        coalesce(CASE WHEN n.nspname <> own.schema THEN n.nspname || '.' END || c.relname, c.relname, f.source),
        coalesce(CASE WHEN x.nspname <> own.schema THEN x.nspname || '.' END || k.relname, k.relname),
        f.missed
    FROM fault f
    INNER JOIN root r ON r.source = f.source
    LEFT JOIN pg_class c ON c.oid = f.relid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_class k ON k.oid = f.other LEFT JOIN pg_namespace x ON x.oid = k.relnamespace
    LEFT JOIN LATERAL (SELECT value AS schema FROM headrace.installation WHERE name = 'source_schema') own ON true
    ORDER BY f.source, 5, f.fault, f.op
$$;

-- Name: capture_fingerprint(oid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_fingerprint(p_function oid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT md5(jsonb_build_array(p.prosrc, p.prosecdef, p.proconfig)::text) FROM pg_proc p WHERE p.oid = p_function
$$;

-- Name: capture_message_status_logs_delete(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_message_status_logs_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'message_status_logs', CASE WHEN v.lacking THEN 'X' ELSE 'D' END::"char", v.entity, v.scope, v.data, left(NULLIF(current_setting('headrace.cause', true), ''), 200) FROM changed_rows r CROSS JOIN (SELECT NULL::headrace.missing AS id, NULL::headrace.missing AS whatsapp_message_id) absent CROSS JOIN LATERAL (SELECT pg_typeof(id) = 'headrace.missing'::regtype OR pg_typeof(whatsapp_message_id) = 'headrace.missing'::regtype AS lacking, jsonb_build_object('old', jsonb_object(ARRAY['whatsapp_message_id', whatsapp_message_id::text])) AS data, id::text AS entity, NULL AS scope FROM (SELECT r.*) x) v; RETURN NULL; END $$;

-- Name: capture_message_status_logs_insert(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_message_status_logs_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'message_status_logs', CASE WHEN v.lacking THEN 'X' ELSE 'I' END::"char", v.entity, v.scope, v.data, left(NULLIF(current_setting('headrace.cause', true), ''), 200) FROM changed_rows r CROSS JOIN (SELECT NULL::headrace.missing AS id, NULL::headrace.missing AS whatsapp_message_id) absent CROSS JOIN LATERAL (SELECT pg_typeof(id) = 'headrace.missing'::regtype OR pg_typeof(whatsapp_message_id) = 'headrace.missing'::regtype AS lacking, jsonb_build_object('new', jsonb_object(ARRAY['whatsapp_message_id', whatsapp_message_id::text])) AS data, id::text AS entity, NULL AS scope FROM (SELECT r.*) x) v; RETURN NULL; END $$;

-- Name: capture_message_status_logs_truncate(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_message_status_logs_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('message_status_logs', 'T', NULL, NULL, NULL, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); RETURN NULL; END $$;

-- Name: capture_message_status_logs_update(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_message_status_logs_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ DECLARE v_entity text; v_scope text; v_data jsonb; v_moved boolean; v_old_entity text; v_old_scope text; BEGIN BEGIN IF NOT (OLD.id IS DISTINCT FROM NEW.id OR OLD.whatsapp_message_id IS DISTINCT FROM NEW.whatsapp_message_id OR OLD.status IS DISTINCT FROM NEW.status OR OLD.created_at IS DISTINCT FROM NEW.created_at) THEN RETURN NULL; END IF; v_entity := NEW.id::text; v_data := jsonb_build_object('old', jsonb_object(ARRAY['whatsapp_message_id', OLD.whatsapp_message_id::text]), 'new', jsonb_object(ARRAY['whatsapp_message_id', NEW.whatsapp_message_id::text])); v_moved := OLD.id IS DISTINCT FROM NEW.id; IF v_moved THEN v_old_entity := OLD.id::text; END IF; EXCEPTION WHEN OTHERS THEN BEGIN PERFORM headrace.log_change_anew('message_status_logs', 'U', to_jsonb(OLD), to_jsonb(NEW), '{"keys": ["whatsapp_message_id"], "left": [], "scope": null, "watch": ["id", "whatsapp_message_id", "status", "created_at"], "entity": "id", "only_value": null, "only_column": null}', left(NULLIF(current_setting('headrace.cause', true), ''), 200)); EXCEPTION WHEN OTHERS THEN INSERT INTO headrace.change_log (source, op) VALUES ('message_status_logs', 'X'); END; RETURN NULL; END; INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('message_status_logs', 'U', v_entity, v_scope, v_data, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); IF v_moved THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('message_status_logs', 'U', v_old_entity, v_old_scope, v_data, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); END IF; RETURN NULL; END $$;

-- Name: capture_messages_delete(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_messages_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'messages', CASE WHEN v.lacking THEN 'X' ELSE 'D' END::"char", v.entity, v.scope, v.data, left(NULLIF(current_setting('headrace.cause', true), ''), 200) FROM changed_rows r CROSS JOIN (SELECT NULL::headrace.missing AS context_message_id, NULL::headrace.missing AS created_at, NULL::headrace.missing AS direction, NULL::headrace.missing AS id, NULL::headrace.missing AS user_phone, NULL::headrace.missing AS whatsapp_number_id) absent CROSS JOIN LATERAL (SELECT pg_typeof(context_message_id) = 'headrace.missing'::regtype OR pg_typeof(created_at) = 'headrace.missing'::regtype OR pg_typeof(direction) = 'headrace.missing'::regtype OR pg_typeof(id) = 'headrace.missing'::regtype OR pg_typeof(user_phone) = 'headrace.missing'::regtype OR pg_typeof(whatsapp_number_id) = 'headrace.missing'::regtype AS lacking, jsonb_build_object('old', jsonb_object(ARRAY['user_phone', user_phone::text, 'whatsapp_number_id', whatsapp_number_id::text, 'created_at', to_jsonb(created_at) #>> '{}', 'context_message_id', context_message_id::text])) AS data, id::text AS entity, NULL AS scope, direction::text = 'incoming' AS wanted FROM (SELECT r.*) x) v WHERE v.wanted OR v.lacking; RETURN NULL; END $$;

-- Name: capture_messages_insert(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_messages_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'messages', CASE WHEN v.lacking THEN 'X' ELSE 'I' END::"char", v.entity, v.scope, v.data, left(NULLIF(current_setting('headrace.cause', true), ''), 200) FROM changed_rows r CROSS JOIN (SELECT NULL::headrace.missing AS context_message_id, NULL::headrace.missing AS created_at, NULL::headrace.missing AS direction, NULL::headrace.missing AS id, NULL::headrace.missing AS user_phone, NULL::headrace.missing AS whatsapp_number_id) absent CROSS JOIN LATERAL (SELECT pg_typeof(context_message_id) = 'headrace.missing'::regtype OR pg_typeof(created_at) = 'headrace.missing'::regtype OR pg_typeof(direction) = 'headrace.missing'::regtype OR pg_typeof(id) = 'headrace.missing'::regtype OR pg_typeof(user_phone) = 'headrace.missing'::regtype OR pg_typeof(whatsapp_number_id) = 'headrace.missing'::regtype AS lacking, jsonb_build_object('new', jsonb_object(ARRAY['user_phone', user_phone::text, 'whatsapp_number_id', whatsapp_number_id::text, 'created_at', to_jsonb(created_at) #>> '{}', 'context_message_id', context_message_id::text])) AS data, id::text AS entity, NULL AS scope, direction::text = 'incoming' AS wanted FROM (SELECT r.*) x) v WHERE v.wanted OR v.lacking; RETURN NULL; END $$;

-- Name: capture_messages_truncate(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_messages_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('messages', 'T', NULL, NULL, NULL, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); RETURN NULL; END $$;

-- Name: capture_messages_update(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_messages_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ DECLARE v_entity text; v_scope text; v_data jsonb; v_moved boolean; v_old_entity text; v_old_scope text; BEGIN BEGIN IF NOT (OLD.id IS DISTINCT FROM NEW.id OR OLD.user_phone IS DISTINCT FROM NEW.user_phone OR OLD.whatsapp_number_id IS DISTINCT FROM NEW.whatsapp_number_id OR OLD.created_at IS DISTINCT FROM NEW.created_at OR OLD.direction IS DISTINCT FROM NEW.direction OR OLD.context_message_id IS DISTINCT FROM NEW.context_message_id) OR (OLD.direction = 'incoming') IS NOT TRUE AND (NEW.direction = 'incoming') IS NOT TRUE THEN RETURN NULL; END IF; v_entity := NEW.id::text; v_data := jsonb_build_object('old', jsonb_object(ARRAY['user_phone', OLD.user_phone::text, 'whatsapp_number_id', OLD.whatsapp_number_id::text, 'created_at', to_jsonb(OLD.created_at) #>> '{}', 'context_message_id', OLD.context_message_id::text]), 'new', jsonb_object(ARRAY['user_phone', NEW.user_phone::text, 'whatsapp_number_id', NEW.whatsapp_number_id::text, 'created_at', to_jsonb(NEW.created_at) #>> '{}', 'context_message_id', NEW.context_message_id::text])); v_moved := OLD.id IS DISTINCT FROM NEW.id; IF v_moved THEN v_old_entity := OLD.id::text; END IF; EXCEPTION WHEN OTHERS THEN BEGIN PERFORM headrace.log_change_anew('messages', 'U', to_jsonb(OLD), to_jsonb(NEW), '{"keys": ["user_phone", "whatsapp_number_id", "created_at", "context_message_id"], "left": [], "scope": null, "watch": ["id", "user_phone", "whatsapp_number_id", "created_at", "direction", "context_message_id"], "entity": "id", "only_value": "incoming", "only_column": "direction"}', left(NULLIF(current_setting('headrace.cause', true), ''), 200)); EXCEPTION WHEN OTHERS THEN INSERT INTO headrace.change_log (source, op) VALUES ('messages', 'X'); END; RETURN NULL; END; INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('messages', 'U', v_entity, v_scope, v_data, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); IF v_moved THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('messages', 'U', v_old_entity, v_old_scope, v_data, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); END IF; RETURN NULL; END $$;

-- Name: capture_send_queue_delete(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_send_queue_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'send_queue', CASE WHEN v.lacking THEN 'X' ELSE 'D' END::"char", v.entity, v.scope, v.data, left(NULLIF(current_setting('headrace.cause', true), ''), 200) FROM changed_rows r CROSS JOIN (SELECT NULL::headrace.missing AS campaign_id, NULL::headrace.missing AS created_at, NULL::headrace.missing AS id, NULL::headrace.missing AS sent_at, NULL::headrace.missing AS user_phone, NULL::headrace.missing AS whatsapp_number_id) absent CROSS JOIN LATERAL (SELECT pg_typeof(campaign_id) = 'headrace.missing'::regtype OR pg_typeof(created_at) = 'headrace.missing'::regtype OR pg_typeof(id) = 'headrace.missing'::regtype OR pg_typeof(sent_at) = 'headrace.missing'::regtype OR pg_typeof(user_phone) = 'headrace.missing'::regtype OR pg_typeof(whatsapp_number_id) = 'headrace.missing'::regtype AS lacking, jsonb_build_object('old', jsonb_object(ARRAY['id', id::text, 'campaign_id', campaign_id::text, 'user_phone', user_phone::text, 'whatsapp_number_id', whatsapp_number_id::text, 'sent_at', to_jsonb(sent_at) #>> '{}', 'created_at', to_jsonb(created_at) #>> '{}'])) AS data, id::text AS entity, campaign_id::text AS scope FROM (SELECT r.*) x) v; RETURN NULL; END $$;

-- Name: capture_send_queue_insert(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_send_queue_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'send_queue', CASE WHEN v.lacking THEN 'X' ELSE 'I' END::"char", v.entity, v.scope, v.data, left(NULLIF(current_setting('headrace.cause', true), ''), 200) FROM changed_rows r CROSS JOIN (SELECT NULL::headrace.missing AS campaign_id, NULL::headrace.missing AS id) absent CROSS JOIN LATERAL (SELECT pg_typeof(campaign_id) = 'headrace.missing'::regtype OR pg_typeof(id) = 'headrace.missing'::regtype AS lacking, NULL::jsonb AS data, id::text AS entity, campaign_id::text AS scope FROM (SELECT r.*) x) v; RETURN NULL; END $$;

-- Name: capture_send_queue_truncate(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_send_queue_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('send_queue', 'T', NULL, NULL, NULL, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); RETURN NULL; END $$;

-- Name: capture_send_queue_update(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_send_queue_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ DECLARE v_entity text; v_scope text; v_data jsonb; v_moved boolean; v_old_entity text; v_old_scope text; BEGIN BEGIN IF NOT (OLD.id IS DISTINCT FROM NEW.id OR OLD.campaign_id IS DISTINCT FROM NEW.campaign_id OR OLD.template_name IS DISTINCT FROM NEW.template_name OR OLD.status IS DISTINCT FROM NEW.status OR OLD.whatsapp_message_id IS DISTINCT FROM NEW.whatsapp_message_id OR OLD.user_phone IS DISTINCT FROM NEW.user_phone OR OLD.whatsapp_number_id IS DISTINCT FROM NEW.whatsapp_number_id OR OLD.sent_at IS DISTINCT FROM NEW.sent_at OR OLD.created_at IS DISTINCT FROM NEW.created_at) THEN RETURN NULL; END IF; v_entity := NEW.id::text; v_scope := NEW.campaign_id::text; IF OLD.id IS DISTINCT FROM NEW.id OR OLD.campaign_id IS DISTINCT FROM NEW.campaign_id OR OLD.user_phone IS DISTINCT FROM NEW.user_phone OR OLD.whatsapp_number_id IS DISTINCT FROM NEW.whatsapp_number_id OR OLD.sent_at IS DISTINCT FROM NEW.sent_at OR OLD.created_at IS DISTINCT FROM NEW.created_at THEN v_data := jsonb_build_object('old', jsonb_object(ARRAY['id', OLD.id::text, 'campaign_id', OLD.campaign_id::text, 'user_phone', OLD.user_phone::text, 'whatsapp_number_id', OLD.whatsapp_number_id::text, 'sent_at', to_jsonb(OLD.sent_at) #>> '{}', 'created_at', to_jsonb(OLD.created_at) #>> '{}'])); END IF; v_moved := OLD.id IS DISTINCT FROM NEW.id; IF v_moved THEN v_old_entity := OLD.id::text; v_old_scope := OLD.campaign_id::text; END IF; EXCEPTION WHEN OTHERS THEN BEGIN PERFORM headrace.log_change_anew('send_queue', 'U', to_jsonb(OLD), to_jsonb(NEW), '{"keys": [], "left": ["id", "campaign_id", "user_phone", "whatsapp_number_id", "sent_at", "created_at"], "scope": "campaign_id", "watch": ["id", "campaign_id", "template_name", "status", "whatsapp_message_id", "user_phone", "whatsapp_number_id", "sent_at", "created_at"], "entity": "id", "only_value": null, "only_column": null}', left(NULLIF(current_setting('headrace.cause', true), ''), 200)); EXCEPTION WHEN OTHERS THEN INSERT INTO headrace.change_log (source, op) VALUES ('send_queue', 'X'); END; RETURN NULL; END; INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('send_queue', 'U', v_entity, v_scope, v_data, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); IF v_moved THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('send_queue', 'U', v_old_entity, v_old_scope, v_data, left(NULLIF(current_setting('headrace.cause', true), ''), 200)); END IF; RETURN NULL; END $$;

-- Name: capture_spec(regclass, name, name, name[], name[], name, text, name[], name[], name[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_spec(p_table regclass, p_entity name, p_scope name, p_keys name[], p_watch name[], p_only_column name DEFAULT NULL::name, p_only_value text DEFAULT NULL::text, p_left name[] DEFAULT '{}'::name[], p_reads name[] DEFAULT '{}'::name[], p_others name[] DEFAULT '{}'::name[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_named constant name[] := array_remove(p_entity || p_scope || p_only_column || p_keys || p_watch || p_left || p_reads || p_others, NULL);
BEGIN
    IF cardinality(p_keys) > 0 AND cardinality(p_left) > 0 THEN
        RAISE EXCEPTION 'capture of %: name either p_keys or p_left', p_table USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM unnest(v_named) k WHERE NOT EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = p_table AND a.attname = k AND NOT a.attisdropped))
    THEN
        RAISE EXCEPTION 'capture of %: the table lacks one of the columns %', p_table, v_named USING ERRCODE = 'undefined_column';
    END IF;
    RETURN jsonb_build_object(
        'table', p_table::oid, 'entity', p_entity, 'scope', p_scope, 'keys', p_keys, 'left', p_left, 'watch', p_watch,
        'only_column', p_only_column, 'only_value', p_only_value, 'reads', p_reads, 'others', p_others);
END
$$;

-- Name: capture_table(text, jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_table(p_source text, p_specs jsonb, OUT made integer, OUT missed text[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    v_all constant jsonb := headrace.capture_union(p_source, p_specs);
    v_table constant regclass := (v_all ->> 'table')::oid;
    v_entity constant name := v_all ->> 'entity';
    v_scope constant name := v_all ->> 'scope';
    v_keys constant name[] := ARRAY(SELECT jsonb_array_elements_text(v_all -> 'keys'));
    v_left constant name[] := ARRAY(SELECT jsonb_array_elements_text(v_all -> 'left'));
    v_watch constant name[] := ARRAY(SELECT jsonb_array_elements_text(v_all -> 'watch'));
    v_only_column constant name := v_all ->> 'only_column';
    v_only_value constant text := v_all ->> 'only_value';
    -- Statement triggers fire neither for logical apply nor for rows that an UPDATE moves between partitions.
    v_by_row boolean := (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = v_table)
        OR EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = v_table);
    v_ops constant text[] := ARRAY['insert', 'update', 'delete', 'truncate'];
    v_columns constant text := 'source, op, entity_id, scope, data, cause';
    -- Cut to 200 characters, because any session may set it.
    v_cause constant text := 'left(NULLIF(current_setting(''headrace.cause'', true), ''''), 200)';
    v_read constant name[] := ARRAY(SELECT DISTINCT c FROM unnest(v_entity || v_keys || v_watch || v_left || ARRAY(SELECT jsonb_array_elements_text(v_all -> 'reads'))::name[] || v_scope || v_only_column) c
        WHERE c IS NOT NULL);
    v_others constant text[] := ARRAY(SELECT o FROM jsonb_array_elements_text(v_all -> 'others') o WHERE o <> ALL (v_read));
    -- $row$ stands for the row's name. Times go through JSON, which writes ISO whatever the session's DateStyle.
    v_pairs constant text := (
        SELECT string_agg(format(CASE t.typcategory WHEN 'D' THEN '%L, to_jsonb($row$%I) #>> ''{}''' ELSE '%L, $row$%I::text' END, k, k), ', ' ORDER BY n)
        FROM unnest(v_keys || v_left) WITH ORDINALITY u (k, n)
        INNER JOIN pg_attribute a ON a.attrelid = v_table AND a.attname = k INNER JOIN pg_type t ON t.oid = a.atttypid);
    v_watched constant text := (SELECT string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', w), ' OR ' ORDER BY n) FROM unnest(v_watch) WITH ORDINALITY u (w, n));
    v_left_changed constant text := (SELECT string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', k), ' OR ') FROM unnest(v_left) k);
    v_only constant text := CASE WHEN v_only_column IS NOT NULL THEN format('$row$%I = %L', v_only_column, v_only_value) END;
    v_spec constant jsonb := v_all - '{table,reads,others}'::text[];
    v_before headrace.source;
    v_op text;
    v_row text;  -- NEW. or OLD.; empty for statement triggers, which read columns by bare names
    v_used name[];
    v_data text;
    v_body text;
    v_trigger text;
    v_triggers jsonb := '{}';
    v_prints jsonb := '{}';  -- md5 of each trigger's definition, with an UPDATE's watched columns
    v_functions jsonb := '{}';
    v_target regclass;
BEGIN
    made := 0;
    -- Faults that appeared after migrate looked for them.
    missed := CASE WHEN EXISTS (SELECT FROM headrace.capture_faults(ARRAY[p_source]) f WHERE f.missed)
        THEN ARRAY(SELECT jsonb_object_keys(p_specs)) ELSE '{}' END;
    SELECT * INTO v_before FROM headrace.source s WHERE s.source = p_source;

    FOREACH v_op IN ARRAY v_ops LOOP
        v_row := CASE WHEN v_op <> 'update' AND NOT v_by_row THEN '' WHEN v_op = 'delete' THEN 'OLD.' ELSE 'NEW.' END;
        v_data := CASE
            WHEN v_op = 'update' AND cardinality(v_keys) > 0 THEN format(
                'jsonb_build_object(''old'', jsonb_object(ARRAY[%s]), ''new'', jsonb_object(ARRAY[%s]))',
                replace(v_pairs, '$row$', 'OLD.'), replace(v_pairs, '$row$', 'NEW.'))
            WHEN v_op = 'delete' AND v_pairs IS NOT NULL OR v_op = 'update' AND cardinality(v_left) > 0 THEN format(
                'jsonb_build_object(''old'', jsonb_object(ARRAY[%s]))', replace(v_pairs, '$row$', CASE v_op WHEN 'update' THEN 'OLD.' ELSE v_row END))
            WHEN v_op = 'insert' AND cardinality(v_keys) > 0 THEN format(
                'jsonb_build_object(''new'', jsonb_object(ARRAY[%s]))', replace(v_pairs, '$row$', v_row))
        END;
        v_used := ARRAY(
            SELECT DISTINCT c FROM unnest(ARRAY[v_entity, v_scope, v_only_column] || CASE WHEN v_data IS NULL THEN '{}' ELSE v_keys || v_left END) c
            WHERE c IS NOT NULL ORDER BY c);
        v_body := CASE
            WHEN v_op = 'truncate' THEN format(
                'INSERT INTO headrace.change_log (%s) VALUES (%L, ''T'', NULL, NULL, NULL, %s);', v_columns, p_source, v_cause)
            WHEN v_op <> 'update' AND NOT v_by_row THEN format(
                'INSERT INTO headrace.change_log (%s)'
                || ' SELECT %L, CASE WHEN v.lacking THEN ''X'' ELSE %L END::"char", v.entity, v.scope, v.data, %s FROM changed_rows r'
                || ' CROSS JOIN (SELECT %s) absent CROSS JOIN LATERAL (SELECT %s AS lacking, %s AS data, %I::text AS entity, %s AS scope%s FROM (SELECT r.*) x) v%s;',
                v_columns, p_source, upper(left(v_op, 1) COLLATE "C"), v_cause,
                (SELECT string_agg(format('NULL::headrace.missing AS %I', c), ', ') FROM unnest(v_used) c),
                (SELECT string_agg(format('pg_typeof(%I) = ''headrace.missing''::regtype', c), ' OR ') FROM unnest(v_used) c),
                coalesce(v_data, 'NULL::jsonb'), v_entity, coalesce(quote_ident(v_scope) || '::text', 'NULL'),
                coalesce(', ' || quote_ident(v_only_column) || '::text = ' || quote_literal(v_only_value) || ' AS wanted', ''),
                CASE WHEN v_only_column IS NULL THEN '' ELSE ' WHERE v.wanted OR v.lacking' END)
            ELSE format(
                'BEGIN %s EXCEPTION WHEN OTHERS THEN'
                || ' BEGIN PERFORM headrace.log_change_anew(%L, %L, %s, %s, %L, %s);'
                || ' EXCEPTION WHEN OTHERS THEN INSERT INTO headrace.change_log (source, op) VALUES (%L, ''X''); END;'
                || ' RETURN NULL; END; INSERT INTO headrace.change_log (%s) VALUES (%L, %L, v_entity, v_scope, v_data, %s);%s',
                CASE
                    WHEN v_op = 'update' THEN format(
                        'IF NOT (%s)%s THEN RETURN NULL; END IF; v_entity := NEW.%I::text;%s',
                        v_watched,
                        coalesce(' OR (' || replace(v_only, '$row$', 'OLD.') || ') IS NOT TRUE AND (' || replace(v_only, '$row$', 'NEW.') || ') IS NOT TRUE', ''),
                        v_entity,
                        coalesce(' v_scope := NEW.' || quote_ident(v_scope) || '::text;', '')
                        || CASE
                            WHEN cardinality(v_left) > 0 THEN format(' IF %s THEN v_data := %s; END IF;', v_left_changed, v_data)
                            ELSE coalesce(' v_data := ' || v_data || ';', '') END
                        || format(' v_moved := OLD.%1$I IS DISTINCT FROM NEW.%1$I;', v_entity)
                        || format(' IF v_moved THEN v_old_entity := OLD.%I::text;%s END IF;', v_entity, coalesce(' v_old_scope := OLD.' || quote_ident(v_scope) || '::text;', '')))
                    ELSE coalesce('IF (' || replace(v_only, '$row$', v_row) || ') IS NOT TRUE THEN RETURN NULL; END IF; ', '')
                        || format('v_entity := %s%I::text;', v_row, v_entity) || coalesce(' v_scope := ' || v_row || quote_ident(v_scope) || '::text;', '')
                        || coalesce(' v_data := ' || v_data || ';', '')
                END,
                p_source, upper(left(v_op, 1) COLLATE "C"), CASE v_op WHEN 'insert' THEN 'NULL' ELSE 'to_jsonb(OLD)' END,
                CASE v_op WHEN 'delete' THEN 'NULL' ELSE 'to_jsonb(NEW)' END, v_spec, v_cause, p_source,
                v_columns, p_source, upper(left(v_op, 1) COLLATE "C"), v_cause,
                CASE v_op WHEN 'update' THEN format(
                    ' IF v_moved THEN INSERT INTO headrace.change_log (%s) VALUES (%L, ''U'', v_old_entity, v_old_scope, v_data, %s); END IF;',
                    v_columns, p_source, v_cause) ELSE '' END)
        END;
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION headrace.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER'
            || ' SET search_path = pg_catalog, headrace, pg_temp AS $body$ %sBEGIN %s RETURN NULL; END $body$',
            'capture_' || p_source || '_' || v_op,
            CASE WHEN v_op = 'truncate' OR v_op <> 'update' AND NOT v_by_row THEN ''
                WHEN v_op = 'update' THEN 'DECLARE v_entity text; v_scope text; v_data jsonb; v_moved boolean; v_old_entity text; v_old_scope text; '
                ELSE 'DECLARE v_entity text; v_scope text; v_data jsonb; ' END,
            v_body);
        EXECUTE format('REVOKE ALL ON FUNCTION headrace.%I() FROM PUBLIC', 'capture_' || p_source || '_' || v_op);

        -- %s stands for the table.
        v_trigger := CASE
            WHEN v_op = 'truncate' THEN 'AFTER TRUNCATE ON %s FOR EACH STATEMENT'
            WHEN v_op = 'update' OR v_by_row THEN 'AFTER ' || upper(v_op COLLATE "C") || ' ON %s FOR EACH ROW'
            ELSE 'AFTER ' || upper(v_op COLLATE "C") || ' ON %s REFERENCING '
                || CASE v_op WHEN 'delete' THEN 'OLD' ELSE 'NEW' END || ' TABLE AS changed_rows FOR EACH STATEMENT'
        END;
        v_triggers := v_triggers || jsonb_build_object(v_op, v_trigger);
        v_prints := v_prints || jsonb_build_object(v_op, md5(v_trigger || CASE v_op WHEN 'update' THEN v_watched || coalesce(v_only, '') ELSE '' END));
        v_functions := v_functions || jsonb_build_object(
            v_op, headrace.capture_fingerprint(format('headrace.%I()', 'capture_' || p_source || '_' || v_op)::regprocedure));
    END LOOP;

    -- A domain that wants the same as before misses nothing when others want more.
    missed := ARRAY(
        SELECT unnest(missed)
        UNION
        SELECT n.domain FROM jsonb_each(p_specs) n (domain, spec)
        WHERE NOT v_before.specs ? n.domain OR v_before.triggers <> v_prints AND (v_before.specs -> n.domain -> 'watch', v_before.specs -> n.domain -> 'only_column', v_before.specs -> n.domain -> 'only_value')
            IS DISTINCT FROM (n.spec -> 'watch', n.spec -> 'only_column', n.spec -> 'only_value'));
    PERFORM headrace.note_source(
        p_source, v_table, v_read::text[], v_prints, v_functions,
        (SELECT jsonb_object_agg(n.domain, n.spec - 'table') FROM jsonb_each(p_specs) n (domain, spec)));
    IF cardinality(v_others) > 0 THEN
        PERFORM headrace.note_source(p_source || ' others', v_table, v_others);
    ELSE
        DELETE FROM headrace.source s WHERE s.source = p_source || ' others';
    END IF;

    -- TRUNCATE of a partition does not fire its parent's trigger: every partition has its own. PostgreSQL clones row triggers to
    -- partitions, also when they are replaced because one of the clones was disabled.
    FOR v_op, v_target IN
        WITH fault AS MATERIALIZED (
            SELECT f.op, f.relation FROM headrace.capture_faults(ARRAY[p_source]) f WHERE f.fault <> 'function'  -- mended by now
        )
        SELECT o.op, t.relid
        FROM unnest(v_ops) WITH ORDINALITY o (op, place)
        CROSS JOIN LATERAL (SELECT v_table AS relid UNION SELECT t.relid FROM pg_partition_tree(v_table) t WHERE o.op = 'truncate') t
        WHERE EXISTS (
            SELECT FROM fault f WHERE f.op IS NULL OR f.op = o.op AND (f.relation = t.relid OR o.op <> 'truncate'))
        ORDER BY o.place, t.relid
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I ', '!headrace_' || v_op)
            || format(v_triggers ->> v_op, v_target) || format(' EXECUTE FUNCTION headrace.%I()', 'capture_' || p_source || '_' || v_op);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', v_target, '!headrace_' || v_op);
        EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', '!headrace_' || v_op, v_target, 'headrace ' || (v_prints ->> v_op));
        made := made + 1;
    END LOOP;

    -- Triggers on a table that had the name before, or on a partition that was detached.
    FOR v_op, v_target IN
        SELECT g.tgname, g.tgrelid
        FROM pg_trigger g
        WHERE g.tgparentid = 0
            AND g.tgfoid = ANY (ARRAY(SELECT format('headrace.%I()', 'capture_' || p_source || '_' || o)::regprocedure FROM unnest(v_ops) o))
            AND g.tgrelid <> v_table AND NOT EXISTS (SELECT FROM pg_partition_tree(v_table) t WHERE t.relid = g.tgrelid)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', v_op, v_target);
    END LOOP;
END
$_$;

-- Name: capture_union(text, jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_union(p_source text, p_specs jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_all jsonb;
    v_lists jsonb;
BEGIN
    IF EXISTS (
        SELECT FROM jsonb_each(p_specs) d (name, spec)
        HAVING count(DISTINCT d.spec ->> 'table') <> 1 OR count(DISTINCT d.spec ->> 'entity') <> 1 OR count(DISTINCT d.spec ->> 'scope') > 1)
    THEN
        RAISE EXCEPTION 'capture of %: domains have to name the same table, entity and scope: %', p_source, p_specs
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT jsonb_object_agg(l.list, (
        SELECT coalesce(jsonb_agg(u.column_name ORDER BY u.place), '[]')
        FROM (
            SELECT c.column_name, min(d.n * 10000 + c.n) AS place
            FROM jsonb_each(p_specs) WITH ORDINALITY d (name, spec, n)
            CROSS JOIN LATERAL jsonb_array_elements_text(d.spec -> l.list) WITH ORDINALITY c (column_name, n)
            GROUP BY c.column_name
        ) u))
    INTO v_lists FROM unnest(ARRAY['keys', 'left', 'watch', 'reads', 'others']) l (list);
    SELECT jsonb_build_object(
        'table', min(d.spec ->> 'table')::oid, 'entity', min(d.spec ->> 'entity'), 'scope', min(d.spec ->> 'scope'),
        'only_column', CASE WHEN o.are_alike THEN min(d.spec ->> 'only_column') END,
        'only_value', CASE WHEN o.are_alike THEN min(d.spec ->> 'only_value') END) || v_lists
    INTO v_all
    FROM jsonb_each(p_specs) d (name, spec)
    CROSS JOIN (SELECT count(DISTINCT jsonb_build_array(s.spec -> 'only_column', s.spec -> 'only_value')) = 1 AS are_alike FROM jsonb_each(p_specs) s (name, spec)) o
    GROUP BY o.are_alike;
    IF v_all -> 'keys' <> '[]' AND v_all -> 'left' <> '[]' THEN
        v_all := v_all || jsonb_build_object('left', '[]'::jsonb, 'keys', (v_all -> 'keys') || coalesce((
            SELECT jsonb_agg(c) FROM jsonb_array_elements(v_all -> 'left') c WHERE NOT (v_all -> 'keys') @> c), '[]'));
    END IF;
    RETURN v_all;
END
$$;

-- Name: change_width(text, text, jsonb, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.change_width(p_entity_id text, p_scope text, p_data jsonb, p_cause text) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT 100::bigint + coalesce(pg_catalog.octet_length(p_entity_id), 0) + coalesce(pg_catalog.octet_length(p_scope), 0)
        + coalesce(pg_catalog.pg_column_size(p_data), 0) * CASE WHEN pg_catalog.pg_column_compression(p_data) IS NULL THEN 1 ELSE 8 END
        + coalesce(pg_catalog.octet_length(p_cause), 0)
$$;

-- Name: changes_behind(bigint); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.changes_behind(p_most bigint DEFAULT 100000) RETURNS TABLE(stream text, shard integer, rows_behind bigint, more_behind boolean, oldest_change timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET enable_sort TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
DECLARE
    c record;
    v_seen pg_snapshot;
    v_low xid8;
    v_late xid8[];
    v_window timestamptz;
BEGIN
    p_most := least(greatest(p_most, 0), 1000000);
    FOR c IN SELECT k.*, s.sources, s.shards FROM headrace.stream_cursor k INNER JOIN headrace.stream s ON s.stream = k.stream ORDER BY k.stream, k.shard LOOP
        v_seen := coalesce(c.cur, c.prev);
        v_low := pg_snapshot_xmax(v_seen);
        v_late := ARRAY(SELECT x FROM pg_snapshot_xip(v_seen) x WHERE pg_visible_in_snapshot(x, pg_current_snapshot()));
        SELECT count(*) FILTER (WHERE b.ours), count(*) > p_most, min(b.changed_at) FILTER (WHERE b.ours)
        INTO rows_behind, more_behind, oldest_change
        FROM (
            SELECT u.changed_at, u.source = ANY (c.sources)
                AND (c.shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, c.shards) = c.shard) AS ours
            FROM (
                (SELECT l.changed_at, l.source, l.entity_id FROM headrace.change_log l WHERE l.xid = ANY (v_late) LIMIT p_most + 1)
                UNION ALL
                (SELECT l.changed_at, l.source, l.entity_id FROM headrace.change_log l WHERE l.xid >= v_low ORDER BY l.xid LIMIT p_most + 1)
            ) u
            LIMIT p_most + 1
        ) b;
        rows_behind := least(rows_behind, p_most);
        IF c.cur IS NOT NULL THEN
            rows_behind := rows_behind + coalesce(c.window_left, c.window_rows);
            SELECT l.changed_at INTO v_window FROM headrace.change_log l WHERE l.pos > c.pos AND l.pos <= c.last_pos ORDER BY l.pos LIMIT 1;
            oldest_change := least(oldest_change, v_window);
        END IF;
        stream := c.stream;
        shard := c.shard;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Name: stream_cursor; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.stream_cursor (
    stream text NOT NULL,
    shard integer NOT NULL,
    prev pg_snapshot NOT NULL,
    cur pg_snapshot,
    pos bigint DEFAULT 0 NOT NULL,
    last_pos bigint,
    window_rows bigint,
    state text DEFAULT 'active'::text NOT NULL,
    system_identifier bigint NOT NULL,
    database_name name NOT NULL,
    changes_applied bigint DEFAULT 0 NOT NULL,
    advanced_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    window_left bigint,
    window_widest bigint,
    CONSTRAINT stream_cursor_state_known CHECK ((state = ANY (ARRAY['active'::text, 'lost'::text]))),
    CONSTRAINT stream_cursor_window_whole CHECK (((cur IS NULL) = (last_pos IS NULL)))
)
WITH (fillfactor='50');

-- Name: TABLE stream_cursor; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.stream_cursor IS 'Where a shard of a stream stands: everything visible in prev is applied; while cur is set, the window of what cur sees and prev did not is being applied, up to pos.';

-- Name: COLUMN stream_cursor.window_left; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.stream_cursor.window_left IS 'How many changes of the open window are not applied yet; null: all of window_rows may be, for it was opened by an older version.';

-- Name: COLUMN stream_cursor.window_widest; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.stream_cursor.window_widest IS 'Bytes of the widest change in the open window; null: unknown. Batches of wide changes are cut by their bytes.';

-- Name: changes_that_fit(text[], integer, headrace.stream_cursor, xid8[], integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.changes_that_fit(p_sources text[], p_shards integer, c headrace.stream_cursor, p_committed xid8[], p_limit integer, OUT last_pos bigint, OUT first_width bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_low constant xid8 := pg_snapshot_xmax(c.prev);
    v_high constant xid8 := pg_snapshot_xmax(c.cur);
    v_pos bigint;
    v_width bigint;
    v_bytes bigint := 0;
BEGIN
    -- By pos, or by xid and sorted, as stream_read does. In a loop, because the batch may end after a few changes.
    FOR v_pos, v_width IN
        SELECT u.pos, u.width FROM (
            SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause) AS width
            FROM headrace.change_log l WHERE c.window_rows <= 4 * p_limit AND l.xid = ANY (p_committed)
            UNION ALL
            SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause)
            FROM headrace.change_log l WHERE c.window_rows <= 4 * p_limit AND l.xid >= v_low AND l.xid < v_high
            UNION ALL
            (SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause)
            FROM headrace.change_log l
            WHERE c.window_rows > 4 * p_limit AND l.pos > c.pos AND l.pos <= c.last_pos AND (l.xid = ANY (p_committed) OR l.xid >= v_low AND l.xid < v_high)
                AND pg_visible_in_snapshot(l.xid, c.cur) AND l.source = ANY (p_sources)
                AND (p_shards = 1 OR mod(hashtextextended(coalesce(l.entity_id, ''), 0) & 9223372036854775807, p_shards) = c.shard)
            ORDER BY l.pos LIMIT p_limit)
        ) u
        WHERE u.pos > c.pos AND pg_visible_in_snapshot(u.xid, c.cur) AND u.source = ANY (p_sources)
            AND (p_shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, p_shards) = c.shard)
        ORDER BY u.pos LIMIT p_limit
    LOOP
        v_bytes := v_bytes + v_width;
        EXIT WHEN last_pos IS NOT NULL AND v_bytes > 67108864;
        last_pos := v_pos;
        first_width := coalesce(first_width, v_width);
    END LOOP;
END
$$;

-- Name: check_frozen_rows(uuid, jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.check_frozen_rows(p_campaign_id uuid, p_before jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    IF headrace.missing_source_rows(
        p_before, (SELECT k.source_rows FROM headrace.campaign k WHERE k.campaign_id = p_campaign_id)) <> '{}'
    THEN
        RAISE EXCEPTION 'rows of campaign % went while they were being counted; trying again', p_campaign_id USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;

-- Name: clean_json(text, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.clean_json(p_text text, p_ascii boolean) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT replace(replace(
        CASE WHEN p_ascii THEN regexp_replace(s.marked, E'(\\\\|\\x02)u(?!00[0-7])[0-9a-fA-F]{4}', '?', 'g') ELSE s.marked END,
        chr(2), E'\\'), chr(1), E'\\\\')
    FROM (
        SELECT regexp_replace(
            regexp_replace(
                replace(p_text, E'\\\\', chr(1)),
                E'\\\\(u[dD][89abAB][0-9a-fA-F]{2})\\\\(u[dD][c-fC-F][0-9a-fA-F]{2})', chr(2) || E'\\1' || chr(2) || E'\\2', 'g'),
            E'\\\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', CASE getdatabaseencoding() WHEN 'UTF8' THEN E'\\\\ufffd' ELSE '?' END, 'g') AS marked
    ) s
$$;

-- Name: count_messages(uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.count_messages(p_campaigns uuid[]) RETURNS headrace.outcome_change[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET random_page_cost TO '1.1'
    SET jit TO 'off'
    AS $$
DECLARE
    v_messages constant text[] := ARRAY(
        SELECT DISTINCT q.id::text COLLATE "C" FROM headrace.stg_send_queue() q WHERE q.campaign_id = ANY (p_campaigns) ORDER BY 1);
BEGIN
    RETURN ARRAY(
        SELECT ROW(
            d.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
        )::headrace.outcome_change
        FROM headrace.outcomes_by_message(v_messages) d WHERE d.new_campaign = ANY (p_campaigns));
END
$$;

-- Name: count_straight(uuid[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.count_straight(p_campaigns uuid[], p_large boolean) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
    v_outcomes headrace.outcome_change[];
    v_twice boolean;
    v_messages bigint;
BEGIN
    IF p_large THEN
        v_twice := (SELECT count(*) > count(DISTINCT q.id) FROM headrace.stg_send_queue() q WHERE q.campaign_id = p_campaigns[1]);
    ELSE
        v_outcomes := headrace.count_messages(p_campaigns);
        v_twice := cardinality(v_outcomes) > (SELECT count(DISTINCT o.message_id) FROM unnest(v_outcomes) o);
    END IF;
    IF v_twice THEN
        RAISE EXCEPTION 'send_queue holds rows with the same id' USING ERRCODE = 'unique_violation';
    END IF;
    PERFORM headrace.store_counts(p_campaigns, p_large, v_outcomes);
    SELECT sum(s.total) INTO v_messages FROM headrace.campaign_template_stats s WHERE s.campaign_id = ANY (p_campaigns);
    IF v_messages > 0 THEN
        PERFORM headrace.record_activity(
            ARRAY['campaign_template_stats', 'campaign_computed_stats'], array_agg(a.day), array_agg(a.messages))
        FROM (
            SELECT headrace.calendar_day(c.created_at) AS day, sum(s.total)::bigint AS messages
            FROM headrace.campaign_template_stats s INNER JOIN headrace.stg_campaigns() c ON c.campaign_id = s.campaign_id
            WHERE s.campaign_id = ANY (p_campaigns) AND headrace.calendar_day(c.created_at) IS NOT NULL
            GROUP BY 1
        ) a;
    END IF;
    RETURN coalesce(v_messages, 0);
END
$$;

-- Name: counters_json(bigint, bigint, bigint, bigint, bigint, bigint, bigint); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.counters_json(p_total bigint, p_sent bigint, p_delivered bigint, p_read bigint, p_replied bigint, p_failed bigint, p_failed_queue bigint) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    -- PL/pgSQL keeps its expressions prepared: a third less time than a SQL function that cannot be inlined.
    RETURN jsonb_build_object(
        'total', p_total, 'sent', p_sent, 'delivered', p_delivered, 'read', p_read, 'replied', p_replied, 'failed', p_failed,
        'failed_queue', p_failed_queue, 'failed_delivery', p_failed - p_failed_queue,
        'delivered_rate', round(p_delivered::numeric / nullif(p_sent, 0), 6),
        'read_rate', round(p_read::numeric / nullif(p_delivered, 0), 6),
        'replied_rate', round(p_replied::numeric / nullif(p_delivered, 0), 6)
    );
END
$$;

-- Name: dead_letter_discard(bigint[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.dead_letter_discard(p_ids bigint[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    WITH gone AS (DELETE FROM headrace.dead_letter WHERE id = ANY (p_ids) RETURNING 1)
    SELECT count(*) FROM gone
$$;

-- Name: dead_letter_next_try(integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.dead_letter_next_try(p_attempts integer) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT CASE WHEN p_attempts < 10 THEN now() + least(interval '1 minute' * 2 ^ (p_attempts - 1), interval '1 day') END
$$;

-- Name: dead_letter_retry(bigint[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.dead_letter_retry(p_ids bigint[] DEFAULT NULL::bigint[], p_due boolean DEFAULT false, OUT applied integer, OUT failed integer, OUT rest bigint[]) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_ids bigint[];
    d record;
    v_code text;
    v_message text;
BEGIN
    applied := 0;
    failed := 0;
    v_ids := ARRAY(
        SELECT l.id FROM headrace.dead_letter l
        WHERE (p_ids IS NULL OR l.id = ANY (p_ids)) AND (NOT p_due OR l.status = 'waiting' OR l.next_try_at <= now())
        ORDER BY l.stream, l.pos LIMIT 1000000);
    FOR i IN 1 .. cardinality(v_ids) LOOP
        IF i > 1 AND (i > 1000 OR clock_timestamp() > v_until) THEN
            rest := v_ids[i:];
            RETURN;
        END IF;
        SELECT l.*, s.handler, s.ordered INTO d FROM headrace.dead_letter l INNER JOIN headrace.stream s ON s.stream = l.stream
        WHERE l.id = v_ids[i] AND (NOT p_due OR l.status = 'waiting' OR l.next_try_at <= now())
        FOR UPDATE OF l SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        CONTINUE WHEN d.ordered AND EXISTS (
            SELECT FROM headrace.dead_letter e
            WHERE e.stream = d.stream AND hashtextextended(e.entity_id, 0) = hashtextextended(d.entity_id, 0)
                AND e.entity_id = d.entity_id AND e.pos < d.pos);
        BEGIN
            IF d.error_code = 'P0H01' THEN  -- was cut when it was set aside (stream_read)
                RAISE EXCEPTION USING ERRCODE = d.error_code, MESSAGE = d.error;
            END IF;
            EXECUTE format('SELECT %s($1)', d.handler) USING ARRAY[d.change];
            DELETE FROM headrace.dead_letter l WHERE l.id = d.id;
            applied := applied + 1;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            IF NOT headrace.is_data_error(v_code, v_message) THEN
                RAISE;
            END IF;
            UPDATE headrace.dead_letter l SET
                status = 'failed', error_code = v_code, error = left(v_message, 2000), attempts = l.attempts + 1,
                last_failed_at = clock_timestamp(), next_try_at = headrace.dead_letter_next_try(l.attempts + 1)
            WHERE l.id = d.id;
            failed := failed + 1;
        END;
    END LOOP;
END
$_$;

-- Name: default_is_large(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.default_is_large() RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT pg_relation_size('headrace.change_log_default') > 1048576
$$;

-- Name: discard_webhook_rejects(bigint[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.discard_webhook_rejects(p_ids bigint[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    WITH gone AS (DELETE FROM headrace.webhook_reject WHERE id = ANY (p_ids) RETURNING 1)
    SELECT count(*) FROM gone
$$;

-- Name: campaign_computed_stats; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.campaign_computed_stats (
    campaign_id uuid NOT NULL,
    template_stats jsonb NOT NULL,
    totals jsonb NOT NULL,
    state text DEFAULT 'live'::text NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    checksum text NOT NULL,
    computed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    frozen_at timestamp with time zone,
    facts jsonb,
    deleted_at timestamp with time zone,
    CONSTRAINT campaign_computed_stats_state_known CHECK ((state = ANY (ARRAY['live'::text, 'settling'::text, 'frozen'::text, 'amended'::text])))
)
WITH (fillfactor='50');

-- Name: TABLE campaign_computed_stats; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign_computed_stats IS 'One document per campaign for serving: per-template counters and rates, totals. version rises when numbers change. facts: name, status and dates as they were when it was frozen; deleted_at: when the source lost the frozen campaign.';

-- Name: document_json(jsonb, headrace.campaign_computed_stats); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.document_json(p_facts jsonb, p_document headrace.campaign_computed_stats) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT p_facts || jsonb_build_object(
        'source', CASE WHEN p_document.state IN ('frozen', 'amended') THEN 'frozen' ELSE 'computed' END,
        'state', p_document.state, 'version', p_document.version, 'computed_at', p_document.computed_at,
        'age_seconds', round(extract(EPOCH FROM clock_timestamp() - p_document.computed_at), 3),
        'frozen_at', p_document.frozen_at, 'deleted_at', p_document.deleted_at,
        'totals', p_document.totals, 'template_stats', p_document.template_stats)
$$;

-- Name: drop_capture(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.drop_capture(p_source text) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_functions constant oid[] := ARRAY(
        SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = 'headrace'::regnamespace AND p.prorettype = 'trigger'::regtype
            AND p.proname = ANY (ARRAY(SELECT 'capture_' || p_source || '_' || o FROM unnest(ARRAY['insert', 'update', 'delete', 'truncate']) o)));
    v_statement text;
    v_dropped integer := 0;
BEGIN
    FOR v_statement IN
        SELECT format('DROP TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass) FROM pg_trigger g
        WHERE g.tgfoid = ANY (v_functions) AND g.tgparentid = 0 ORDER BY g.tgrelid, g.tgname
    LOOP
        EXECUTE v_statement;
        v_dropped := v_dropped + 1;
    END LOOP;
    FOR v_statement IN SELECT format('DROP FUNCTION %s', f::regprocedure) FROM unnest(v_functions) f LOOP
        EXECUTE v_statement;
    END LOOP;
    DELETE FROM headrace.source s WHERE s.source IN (p_source, p_source || ' others');
    RETURN v_dropped;
END
$$;

-- Name: drop_change_log_partition(date, interval); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.drop_change_log_partition(p_day date, p_lost_after interval) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET lock_timeout TO '80ms'
    AS $_$
DECLARE
    v_name constant text := 'change_log_' || to_char(p_day, 'YYYYMMDD');
    v_end constant timestamptz := (p_day + 1)::timestamp AT TIME ZONE 'UTC';
    v_needed boolean;
    c record;
BEGIN
    IF to_regclass('headrace.' || v_name) IS NULL THEN
        RETURN 'gone';
    END IF;
    IF v_end >= now() - headrace.noted_interval('change_retention_seconds') THEN
        RETURN 'needed';
    END IF;
    -- Cursors first, as a step does; then the log; then, in new statements, the check: a transaction from before
    -- midnight may have committed into the partition while we waited. Once we hold the log, only autovacuum and
    -- sessions that named the partition can hold it: we wait only briefly for them, because now all writers wait for us.
    PERFORM FROM headrace.stream_cursor ORDER BY stream, shard FOR UPDATE;
    LOCK TABLE ONLY headrace.change_log IN ACCESS EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '20ms', true);
    EXECUTE format('LOCK TABLE headrace.%I IN ACCESS EXCLUSIVE MODE', v_name);
    FOR c IN SELECT * FROM headrace.stream_cursor WHERE state = 'active' LOOP
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM headrace.%1$I WHERE xid >= pg_snapshot_xmax($1))'
            || ' OR EXISTS (SELECT FROM headrace.%1$I WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1))))', v_name)
        INTO v_needed USING c.prev;
        IF v_needed AND v_end >= now() - greatest(p_lost_after, headrace.noted_interval('stream_lost_after_seconds')) THEN
            RETURN 'needed';
        ELSIF v_needed THEN
            UPDATE headrace.stream_cursor SET state = 'lost' WHERE stream = c.stream AND shard = c.shard;
        END IF;
    END LOOP;
    EXECUTE format('DROP TABLE headrace.%I', v_name);
    RETURN 'dropped';
END
$_$;

-- Name: enter_state(uuid[], text[], text, jsonb, jsonb, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.enter_state(p_campaigns uuid[], p_states text[], p_status text DEFAULT NULL::text, p_facts jsonb DEFAULT NULL::jsonb, p_source_rows jsonb DEFAULT NULL::jsonb, p_by_hand boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
    -- First, because it compares the document's version with the last frozen one.
    UPDATE headrace.campaign_computed_stats d SET
        state = n.state, frozen_at = n.frozen_at, facts = n.facts, deleted_at = NULL
    FROM (
        SELECT
            s.campaign_id, u.state,
            CASE WHEN NOT f.final THEN NULL WHEN s.frozen_at IS NULL OR s.version > k.last_version THEN clock_timestamp() ELSE s.frozen_at END AS frozen_at,
            CASE WHEN f.final THEN coalesce(p_facts, s.facts) END AS facts
        FROM unnest(p_campaigns, p_states) u (id, state)
        INNER JOIN headrace.campaign k ON k.campaign_id = u.id
        INNER JOIN headrace.campaign_computed_stats s ON s.campaign_id = u.id
        CROSS JOIN LATERAL (SELECT u.state IN ('frozen', 'amended') AS final) f
        WHERE u.state IN ('live', 'settling', 'frozen', 'amended')
    ) n
    WHERE d.campaign_id = n.campaign_id
        AND (d.state, d.frozen_at, d.facts, d.deleted_at) IS DISTINCT FROM (n.state, n.frozen_at, n.facts, NULL::timestamptz);

    UPDATE headrace.campaign k SET
        state = n.state, reopened_at = n.reopened_at, settles_until = n.settles_until, last_version = n.last_version,
        frozen_status = n.frozen_status, source_rows = n.source_rows, late_messages = NULL
    FROM (
        SELECT
            c.campaign_id, u.state, o.reopened_at,
            -- a time to which the window can be added
            CASE WHEN f.settles THEN least(greatest(c.completed_at, o.reopened_at), '200000-01-01') + headrace.settle_window() END AS settles_until,
            CASE WHEN f.final THEN coalesce(p_status, c.frozen_status, '') END AS frozen_status,
            CASE WHEN f.final THEN coalesce(p_source_rows, c.source_rows) END AS source_rows,
            CASE WHEN f.final OR u.state = 'deleted' THEN greatest(c.last_version, d.version) ELSE c.last_version END AS last_version
        FROM unnest(p_campaigns, p_states) u (id, state)
        INNER JOIN headrace.campaign c ON c.campaign_id = u.id
        LEFT JOIN headrace.campaign_computed_stats d ON d.campaign_id = u.id
        CROSS JOIN LATERAL (
            SELECT u.state IN ('frozen', 'amended') AS final, u.state NOT IN ('frozen', 'amended') AND c.completed_at IS NOT NULL AS settles
        ) f
        CROSS JOIN LATERAL (
            SELECT CASE WHEN f.settles THEN CASE WHEN p_by_hand THEN clock_timestamp() ELSE c.reopened_at END END AS reopened_at
        ) o
    ) n
    WHERE k.campaign_id = n.campaign_id
        AND (k.state, k.reopened_at, k.settles_until, k.last_version, k.frozen_status, k.source_rows, k.late_messages)
        IS DISTINCT FROM (n.state, n.reopened_at, n.settles_until, n.last_version, n.frozen_status, n.source_rows, NULL::text[]);

    -- What the source no longer has is no longer served; last_version keeps its version, so that it never falls if the campaign returns.
    DELETE FROM headrace.campaign_computed_stats d USING unnest(p_campaigns, p_states) u (id, state)
    WHERE d.campaign_id = u.id AND u.state = 'deleted';
END
$$;

-- Name: expire_default_changes(interval, interval, bigint, integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.expire_default_changes(p_retention interval, p_lost_after interval, p_after bigint DEFAULT 0, p_limit integer DEFAULT 10000, OUT deleted bigint, OUT last_pos bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET lock_timeout TO '80ms'
    AS $$
DECLARE
    -- Whole days, as with partitions.
    v_expired constant timestamptz := date_trunc('day', now() - greatest(p_retention, headrace.noted_interval('change_retention_seconds')), 'UTC');
    v_lost constant timestamptz := date_trunc('day', now() - greatest(p_lost_after, headrace.noted_interval('stream_lost_after_seconds')), 'UTC');
    v_pos bigint[];
BEGIN
    SELECT array_agg(l.pos ORDER BY l.pos) FILTER (WHERE l.changed_at < v_expired), max(l.pos) INTO v_pos, last_pos
    FROM (SELECT d.pos, d.changed_at FROM headrace.change_log_default d WHERE d.pos > p_after ORDER BY d.pos LIMIT least(greatest(p_limit, 0), 100000)) l;
    deleted := 0;
    IF v_pos IS NULL THEN
        last_pos := NULL;
        RETURN;
    END IF;
    UPDATE headrace.stream_cursor k SET state = 'lost'
    WHERE k.state = 'active' AND EXISTS (
        SELECT FROM headrace.change_log_default d
        WHERE d.pos = ANY (v_pos) AND d.changed_at < v_lost AND NOT pg_visible_in_snapshot(d.xid, k.prev));
    DELETE FROM headrace.change_log_default d
    WHERE d.pos = ANY (v_pos)
        AND NOT EXISTS (SELECT FROM headrace.stream_cursor k WHERE k.state = 'active' AND NOT pg_visible_in_snapshot(d.xid, k.prev));
    GET DIAGNOSTICS deleted = ROW_COUNT;
END
$$;

-- Name: expired_change_log_days(interval); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.expired_change_log_days(p_retention interval) RETURNS SETOF date
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
    SELECT d.day FROM (
        SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'headrace.change_log'::regclass AND c.relname ~ '^change_log_[0-9]{8}$'
    ) d
    WHERE (d.day + 1)::timestamp AT TIME ZONE 'UTC' < now() - p_retention
    ORDER BY d.day
$_$;

-- Name: fence_change_log_default(date, date); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.fence_change_log_default(p_first date, p_last date) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET lock_timeout TO '80ms'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    AS $$
DECLARE
    v_name constant text := 'fence_' || to_char(p_first, 'YYYYMMDD') || '_' || to_char(p_last + 1, 'YYYYMMDD');
    v_today constant date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    v_from constant timestamptz := p_first::timestamp AT TIME ZONE 'UTC';
    v_to constant timestamptz := (p_last + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF NOT headrace.default_is_large() THEN
        RETURN 'small';
    END IF;
    IF p_last < p_first OR p_last > p_first + 31 OR p_last > v_today + 62 OR v_from < headrace.first_fenceable_moment() THEN
        RAISE EXCEPTION 'DEFAULT cannot be fenced from % to %: only for days to come, at most 31', p_first, p_last
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE headrace.change_log_default IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'headrace.change_log_default'::regclass AND starts_with(conname::text, 'fence_')) THEN
        RETURN 'busy';  -- another session's fence
    END IF;
    EXECUTE format(
        'CREATE TRIGGER fence BEFORE INSERT ON headrace.change_log_default FOR EACH ROW EXECUTE FUNCTION headrace.keep_before_fence(%s, %s)',
        extract(EPOCH FROM v_from)::bigint, extract(EPOCH FROM v_to)::bigint);
    ALTER TABLE headrace.change_log_default ENABLE ALWAYS TRIGGER fence;
    EXECUTE format(
        'ALTER TABLE headrace.change_log_default ADD CONSTRAINT %I CHECK (changed_at < %L OR changed_at >= %L) NOT VALID', v_name, v_from, v_to);
    RETURN 'fenced';
END
$$;

-- Name: final_days(text[], date, date); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.final_days(p_assets text[], p_first date, p_last date) RETURNS SETOF date
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
    SELECT a.partition_day FROM headrace.activity a
    WHERE a.asset = ANY (p_assets) AND a.partition_day BETWEEN p_first AND p_last
    EXCEPT
    SELECT headrace.calendar_day(c.created_at)
    FROM headrace.campaign_standing s
    INNER JOIN headrace.stg_campaigns() c ON c.campaign_id = s.campaign_id
    WHERE NOT s.final
$$;

-- Name: first_fenceable_moment(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.first_fenceable_moment() RETURNS timestamp with time zone
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT clock_timestamp() + interval '10 minutes'
$$;

-- Name: fold_messages(text[], uuid[], text[], uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.fold_messages(p_messages text[], p_campaigns uuid[], p_late text[] DEFAULT NULL::text[], p_recounted uuid[] DEFAULT NULL::uuid[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET random_page_cost TO '1.1'
    SET jit TO 'off'
    AS $$
DECLARE
    v_campaigns uuid[] := array_remove(coalesce(p_campaigns, '{}'), NULL);
    v_many boolean;
    v_seen uuid[];
    v_unlocked uuid[];
    v_late text[];  -- messages of frozen campaigns: not folded, an amendment is requested
    v_late_campaigns uuid[];
    v_changes headrace.outcome_change[];
BEGIN
    IF cardinality(p_messages) = 0 THEN
        RETURN 0;
    END IF;
    LOOP
        PERFORM headrace.lock_campaigns(v_campaigns);
        v_many := cardinality(v_campaigns) > 100;
        SELECT
            array_agg(ROW(
                d.id,
                d.old_campaign, d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at,
                d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
            )::headrace.outcome_change) FILTER (
                WHERE (d.old_campaign, d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at)
                IS DISTINCT FROM (d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at)),
            array_agg(d.old_campaign) FILTER (WHERE d.old_campaign IS NOT NULL AND (v_many OR d.old_campaign <> ALL (v_campaigns)))
                || array_agg(d.source_campaign) FILTER (
                    WHERE d.source_campaign IS NOT NULL AND (v_many OR d.source_campaign <> ALL (v_campaigns))),
            array_agg(d.id) FILTER (WHERE d.frozen AND (p_late IS NULL OR d.id = ANY (p_late))),
            array_agg(d.source_campaign) FILTER (WHERE d.frozen AND (p_late IS NULL OR d.id = ANY (p_late)))
        INTO v_changes, v_seen, v_late, v_late_campaigns
        FROM headrace.outcomes_by_message(p_messages) d;
        EXIT WHEN v_seen IS NULL;
        -- By sets if there are many: comparing thousands with thousands one by one takes minutes.
        v_unlocked := ARRAY(SELECT unnest(v_seen) EXCEPT SELECT unnest(v_campaigns));
        EXIT WHEN v_unlocked = '{}';
        v_campaigns := v_campaigns || v_unlocked;
    END LOOP;
    IF v_late IS NOT NULL THEN
        PERFORM headrace.request_amendments(v_late_campaigns, v_late);
    END IF;
    RETURN headrace.apply_outcomes(v_changes, p_recounted);
END
$$;

-- Name: forget_old_workers(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.forget_old_workers() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    WITH removed AS (DELETE FROM headrace.worker WHERE seen_at < now() - interval '1 day' RETURNING 1)
    SELECT count(*) FROM removed
$$;

-- Name: freeze_campaign(uuid, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.freeze_campaign(p_campaign_id uuid, p_status text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_facts jsonb;
BEGIN
    SELECT jsonb_build_object(
        'campaign_id', c.campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
    INTO v_facts FROM headrace.stg_campaigns() c WHERE c.campaign_id = p_campaign_id;
    IF NOT FOUND THEN
        RETURN false;  -- deleted since it was counted: that change will request a rebuild
    END IF;
    PERFORM headrace.enter_state(
        ARRAY[p_campaign_id], ARRAY['frozen'], coalesce(p_status, v_facts ->> 'status', ''), v_facts, headrace.source_row_counts(p_campaign_id));
    DELETE FROM headrace.message_outcome o WHERE o.campaign_id = p_campaign_id;
    DELETE FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id;
    PERFORM headrace.pack_hours(p_campaign_id);
    PERFORM headrace.touch_day(p_campaign_id, ARRAY['campaign_computed_stats']);
    RETURN true;
END
$$;

-- Name: freeze_campaigns(uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.freeze_campaigns(p_campaigns uuid[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
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

-- Name: get_campaign_template_stats(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.get_campaign_template_stats(p_campaign_id uuid) RETURNS TABLE(template_name text, total bigint, sent bigint, delivered bigint, read bigint, replied bigint, failed bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT s.template_name, s.total, s.sent, s.delivered, s.read, s.replied, s.failed
    FROM headrace.live_counters(p_campaign_id) s
    ORDER BY s.template_name
$$;

-- Name: held_up(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.held_up() RETURNS TABLE(pid integer, application_name text, holder_pid integer, holder_gid text, holder_name text, holder_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT
        a.pid, a.application_name, nullif(h.pid, 0), p.gid, coalesce(nullif(o.application_name, ''), o.usename, p.owner),
        extract(EPOCH FROM clock_timestamp() - coalesce(o.xact_start, p.prepared))::double precision
    FROM pg_stat_activity a
    CROSS JOIN LATERAL (SELECT DISTINCT unnest(pg_blocking_pids(a.pid)) AS pid) h
    LEFT JOIN pg_stat_activity o ON o.pid = h.pid
    LEFT JOIN LATERAL (
        SELECT x.gid, x.owner, x.prepared
        FROM pg_locks w
        INNER JOIN pg_locks g ON g.granted AND g.locktype = w.locktype AND g.pid IS NULL
            AND (g.database, g.relation, g.transactionid, g.page, g.tuple, g.classid, g.objid, g.objsubid)
                IS NOT DISTINCT FROM (w.database, w.relation, w.transactionid, w.page, w.tuple, w.classid, w.objid, w.objsubid)
        -- A prepared transaction has no session: its lock on its own transaction id identifies it.
        INNER JOIN pg_locks t ON t.virtualtransaction = g.virtualtransaction AND t.locktype = 'transactionid' AND t.pid IS NULL
        INNER JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
        WHERE w.pid = a.pid AND NOT w.granted
        LIMIT 1
    ) p ON h.pid = 0
    WHERE a.datname = current_database() AND a.application_name LIKE 'headrace%' AND a.wait_event_type = 'Lock'
$$;

-- Name: ingest_whatsapp_webhook(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
    v_items jsonb;  -- without those that have a problem
    v_statuses bigint;
    v_messages bigint;
    v_buckets smallint[];
    v_rejected jsonb;
    v_taken jsonb;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM headrace.refuse_webhook_isolation();
    END IF;
    SELECT
        coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NULL), '[]'),
        count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'status'), count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'message'),
        array_agg(DISTINCT (hashtext(i.message_id) & 255)::smallint) FILTER (WHERE i.problem IS NULL),
        coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NOT NULL), '[]')
    INTO v_items, v_statuses, v_messages, v_buckets, v_rejected
    FROM headrace.webhook_items(p_body) i;
    v_taken := headrace.take_webhook_items(v_items, v_statuses, v_messages, v_buckets);
    v_rejected := v_rejected || (v_taken -> 'refused');
    v_taken := v_taken - 'refused';
    IF v_rejected = '[]' THEN
        RETURN v_taken || '{"rejected": []}';
    END IF;
    PERFORM headrace.keep_webhook_rejects(v_rejected);
    RETURN v_taken || jsonb_build_object('rejected', (
        SELECT jsonb_agg(jsonb_build_object('path', i -> 'path', 'reason', i -> 'problem')) FROM jsonb_array_elements(v_rejected) i));
END
$$;

-- Name: ingest_whatsapp_webhook_text(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.ingest_whatsapp_webhook_text(p_body text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_body jsonb;
    v_replaced boolean := false;
BEGIN
    FOR v_try IN 0..3 LOOP
        BEGIN
            v_body := CASE v_try
                WHEN 0 THEN p_body::jsonb
                WHEN 1 THEN headrace.clean_json(p_body, false)::jsonb
                WHEN 2 THEN headrace.clean_json(p_body, true)::jsonb
                ELSE to_jsonb(p_body)
            END;
            v_replaced := v_try IN (1, 2);
            EXIT;
        EXCEPTION WHEN data_exception OR program_limit_exceeded OR feature_not_supported THEN
            NULL;
        END;
    END LOOP;
    RETURN headrace.ingest_whatsapp_webhook(v_body) || jsonb_build_object('replaced', v_replaced);
END
$$;

-- Name: is_data_error(text, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.is_data_error(p_code text, p_message text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    -- 22 data exception, 23 integrity, 54 program limit, P0 raised by a trigger or function, 21 cardinality, 2F/38/39 routines, 44 WITH CHECK
    SELECT
        left(p_code, 2) IN ('21', '22', '23', '2F', '38', '39', '44', '54', 'P0') AND p_code <> 'P0002'
        OR p_code = '53200'
        OR p_code = 'XX000' AND coalesce(starts_with(p_message, 'invalid memory alloc request size'), false)
$$;

-- Name: is_other_webhook_field(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.is_other_webhook_field(p_field text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE((p_field = ANY (ARRAY['account_alerts'::text, 'account_offboarded'::text, 'account_reconnected'::text, 'account_review_update'::text, 'account_settings_update'::text, 'account_update'::text, 'automatic_events'::text, 'business_capability_update'::text, 'business_status_update'::text, 'business_username_update'::text, 'calls'::text, 'flows'::text, 'group_lifecycle_update'::text, 'group_participants_update'::text, 'group_settings_update'::text, 'group_status_update'::text, 'history'::text, 'message_echoes'::text, 'message_template_components_update'::text, 'message_template_quality_update'::text, 'message_template_status_update'::text, 'messaging_handovers'::text, 'partner_solutions'::text, 'payment_configuration_update'::text, 'phone_number_name_update'::text, 'phone_number_quality_update'::text, 'security'::text, 'smb_app_state_sync'::text, 'smb_message_echoes'::text, 'standby'::text, 'template_category_update'::text, 'template_correct_category_detection'::text, 'tracking_events'::text, 'user_id_update'::text, 'user_preferences'::text])), false);

-- Name: is_passing_error(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.is_passing_error(p_code text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    -- 08 connection (of a trigger, to elsewhere), 40 rollback, 53 resources, 57 operator, 58 system; lock not available, object in use, read only
    SELECT left(p_code, 2) IN ('08', '40', '53', '57', '58') OR p_code IN ('55P03', '55006', '25006')
$$;

-- Name: keep_before_fence(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.keep_before_fence() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF NEW.changed_at >= to_timestamp(TG_ARGV[0]::double precision) AND NEW.changed_at < to_timestamp(TG_ARGV[1]::double precision) THEN
        NEW.changed_at := to_timestamp(TG_ARGV[0]::double precision) - interval '1 microsecond';
    END IF;
    RETURN NEW;
END
$$;

-- Name: keep_webhook_rejects(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.keep_webhook_rejects(p_items jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO headrace.webhook_reject AS r (path, reason, item, whatsapp_number_id, sender, notice)
    SELECT DISTINCT ON (k.item_key, k.reason, k.path, k.number_key)
        k.path, k.reason, k.item, k.number_id, k.sender, k.notice
    FROM (
        SELECT
            i ->> 'path' AS path, i ->> 'problem' AS reason, i -> 'item' AS item, i ->> 'whatsapp_number_id' AS number_id,
            i ->> 'user_phone' AS sender, coalesce((i -> 'notice')::boolean, false) AS notice,
            md5((i -> 'item')::text) AS item_key, md5(coalesce(i ->> 'whatsapp_number_id', '')) AS number_key
        FROM jsonb_array_elements(p_items) i
    ) k
    ORDER BY k.item_key, k.reason, k.path, k.number_key
    ON CONFLICT (md5(item::text), md5(reason), path, md5(coalesce(whatsapp_number_id, '')))
    DO UPDATE SET times = r.times + 1, last_at = clock_timestamp();
END
$$;

-- Name: latency_block(integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.latency_block(p_seconds integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (p_seconds < 3600) THEN (p_seconds / 60) WHEN (p_seconds < 86400) THEN (60 + ((p_seconds - 3600) / 600)) ELSE (198 + ((p_seconds - 86400) / 3600)) END;

-- Name: latency_median(uuid, "char"); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.latency_median(p_campaign_id uuid, p_kind "char") RETURNS numeric
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id AND l.kind = p_kind AND l.messages > 0) THEN
        RETURN NULL;
    END IF;
    RETURN (
        WITH block AS (
            SELECT l.block, l.messages, sum(l.messages) OVER (ORDER BY l.block) AS upto, sum(l.messages) OVER () AS total
            FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id AND l.kind = p_kind AND l.messages > 0
        )
        SELECT trim_scale(avg(m.seconds))
        FROM (SELECT b.total FROM block b LIMIT 1) t
        CROSS JOIN LATERAL (VALUES (div(t.total + 1, 2)), (div(t.total, 2) + 1)) k (rank)
        CROSS JOIN LATERAL (
            SELECT min(x.seconds) AS seconds
            FROM (
                SELECT c.seconds, b.upto - b.messages + sum(c.n) OVER (ORDER BY c.seconds) AS upto
                FROM block b
                INNER JOIN headrace.campaign_latency l ON l.campaign_id = p_campaign_id AND l.kind = p_kind AND l.block = b.block
                CROSS JOIN LATERAL unnest(l.seconds, l.counts) c (seconds, n)
                WHERE b.upto >= k.rank AND b.upto - b.messages < k.rank
            ) x
            WHERE x.upto >= k.rank
        ) m
    );
END
$$;

-- Name: latency_seconds(timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.latency_seconds(p_from timestamp with time zone, p_to timestamp with time zone) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((p_from IS NULL) OR (p_to IS NULL) OR (NOT isfinite(p_from)) OR (NOT isfinite(p_to)) OR (p_to < p_from)) THEN NULL::integer WHEN ((p_to >= '100000-01-01 00:00:00+00'::timestamp with time zone) AND (p_from < '90000-01-01 00:00:00+00'::timestamp with time zone)) THEN 2147483647 ELSE (LEAST(floor(date_part('epoch'::text, (p_to - p_from))), (2147483647)::double precision))::integer END;

-- Name: lifecycle_state(text, text, text, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.lifecycle_state(p_state text, p_status text, p_frozen_status text, p_settles_until timestamp with time zone, p_now timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((p_state = ANY (ARRAY['frozen'::text, 'amended'::text])) AND ((p_status IS NULL) OR (p_status = ANY (ARRAY['completed'::text, p_frozen_status])))) THEN p_state WHEN (p_status IS NULL) THEN 'deleted'::text WHEN (p_status <> 'completed'::text) THEN 'live'::text WHEN (p_settles_until <= p_now) THEN 'frozen'::text ELSE 'settling'::text END;

-- Name: list_campaign_stats(uuid, text, integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.list_campaign_stats(p_user_id uuid DEFAULT NULL::uuid, p_cursor text DEFAULT NULL::text, p_limit integer DEFAULT 20) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    v_at timestamptz := 'infinity';
    v_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    v_last uuid;
    v_cursor jsonb;
    v_list jsonb[];
    v_next text;
    v_paused text;  -- why columns of campaigns cannot be read
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'p_limit is %, but a page has 1 to 200 campaigns', coalesce(p_limit::text, 'null') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF false THEN
        RAISE EXCEPTION 'campaigns has no column user_id: there are no lists by user'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave p_user_id null.';
    END IF;
    -- Anything longer is not ours, and checking it would copy it several times.
    IF octet_length(p_user_id::text) > 2000 THEN
        RAISE EXCEPTION 'p_user_id has % bytes, but no list is of a user whose id has more than 2000', octet_length(p_user_id::text)
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF octet_length(p_cursor) > 400 THEN
        RAISE EXCEPTION 'p_cursor is not a cursor of this list: it has % bytes', octet_length(p_cursor)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass next_cursor of the page before as it came, or null for the first page.';
    ELSIF p_cursor IS NOT NULL THEN
        BEGIN
            v_cursor := convert_from(decode(rpad(translate(p_cursor, '-_', '+/'), (length(p_cursor) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb;
            v_at := (v_cursor ->> 0)::timestamp AT TIME ZONE 'UTC';
            v_id := CASE WHEN jsonb_array_length(v_cursor) = 3 THEN (v_cursor ->> 1)::uuid END;
            v_last := v_id;
        EXCEPTION WHEN data_exception THEN
            v_id := NULL;
        END;
        IF v_at IS NULL OR v_id IS NULL THEN
            RAISE EXCEPTION 'p_cursor is not a cursor of this list'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass next_cursor of the page before as it came, or null for the first page.';
        ELSIF v_cursor ->> 2 IS DISTINCT FROM md5(p_user_id::text) THEN
            RAISE EXCEPTION 'p_cursor is of the list of another user'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass the p_user_id that the cursor was given for, or null for the first page.';
        END IF;
    END IF;

    BEGIN
        -- Each object is built in one step (as document_json does), and so is their array: each further step would copy everything.
        IF p_user_id IS NULL THEN
            SELECT
                array_agg(
                    jsonb_build_object(
                        'campaign_id', u.campaign_id, 'name', u.name, 'status', u.status, 'created_at', u.created_at, 'completed_at', u.completed_at,
                        'source', CASE WHEN u.stored IN ('frozen', 'amended') THEN 'frozen' WHEN u.stored IS NOT NULL THEN 'computed' ELSE 'none' END,
                        'state', coalesce(u.stored, CASE WHEN u.shows_numbers THEN 'pending' END), 'version', u.version, 'computed_at', u.computed_at,
                        'age_seconds', round(extract(EPOCH FROM clock_timestamp() - u.computed_at), 3),
                        'frozen_at', u.frozen_at, 'deleted_at', u.deleted_at, 'totals', u.totals, 'template_stats', u.template_stats)
                    ORDER BY u.n) FILTER (WHERE u.n <= p_limit),
                rtrim(translate(encode(convert_to(
                    (jsonb_agg(jsonb_build_array(u.created_at AT TIME ZONE 'UTC', u.campaign_id, md5(p_user_id::text)))
                        FILTER (WHERE u.n = p_limit AND u.found > p_limit) -> 0)::text, 'UTF8'), 'base64'), E'+/\n', '-_'), '=')
            INTO v_list, v_next
            FROM (
                SELECT
                    c.*, s.shows_numbers, d.state AS stored, d.version, d.computed_at, d.frozen_at, d.deleted_at, d.totals, d.template_stats,
                    row_number() OVER (ORDER BY c.created_at DESC, c.campaign_id DESC) AS n, count(*) OVER () AS found
                FROM (
                    SELECT c.* FROM headrace.stg_campaigns() c
                    WHERE (c.created_at, c.campaign_id) <= (v_at, v_id) AND c.campaign_id IS DISTINCT FROM v_last
                    ORDER BY c.created_at DESC, c.campaign_id DESC LIMIT p_limit + 1
                ) c
                LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
                CROSS JOIN LATERAL (
                    SELECT coalesce(k.state IN ('frozen', 'amended'), false) OR coalesce(c.status NOT IN ('scheduled', 'failed'), true) AS shows_numbers
                ) s
                LEFT JOIN headrace.campaign_computed_stats d
                    ON d.campaign_id = c.campaign_id AND s.shows_numbers AND k.state IN ('live', 'settling', 'frozen', 'amended')
            ) u;
        ELSE
            SELECT
                array_agg(
                    jsonb_build_object(
                        'campaign_id', u.campaign_id, 'name', u.name, 'status', u.status, 'created_at', u.created_at, 'completed_at', u.completed_at,
                        'source', CASE WHEN u.stored IN ('frozen', 'amended') THEN 'frozen' WHEN u.stored IS NOT NULL THEN 'computed' ELSE 'none' END,
                        'state', coalesce(u.stored, CASE WHEN u.shows_numbers THEN 'pending' END), 'version', u.version, 'computed_at', u.computed_at,
                        'age_seconds', round(extract(EPOCH FROM clock_timestamp() - u.computed_at), 3),
                        'frozen_at', u.frozen_at, 'deleted_at', u.deleted_at, 'totals', u.totals, 'template_stats', u.template_stats)
                    ORDER BY u.n) FILTER (WHERE u.n <= p_limit),
                rtrim(translate(encode(convert_to(
                    (jsonb_agg(jsonb_build_array(u.created_at AT TIME ZONE 'UTC', u.campaign_id, md5(p_user_id::text)))
                        FILTER (WHERE u.n = p_limit AND u.found > p_limit) -> 0)::text, 'UTF8'), 'base64'), E'+/\n', '-_'), '=')
            INTO v_list, v_next
            FROM (
                SELECT
                    c.*, s.shows_numbers, d.state AS stored, d.version, d.computed_at, d.frozen_at, d.deleted_at, d.totals, d.template_stats,
                    row_number() OVER (ORDER BY c.created_at DESC, c.campaign_id DESC) AS n, count(*) OVER () AS found
                FROM (
                    SELECT c.* FROM headrace.stg_campaigns() c
                    WHERE (c.created_at, c.campaign_id) <= (v_at, v_id) AND c.campaign_id IS DISTINCT FROM v_last AND c.user_id = p_user_id
                    ORDER BY c.created_at DESC, c.campaign_id DESC LIMIT p_limit + 1
                ) c
                LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
                CROSS JOIN LATERAL (
                    SELECT coalesce(k.state IN ('frozen', 'amended'), false) OR coalesce(c.status NOT IN ('scheduled', 'failed'), true) AS shows_numbers
                ) s
                LEFT JOIN headrace.campaign_computed_stats d
                    ON d.campaign_id = c.campaign_id AND s.shows_numbers AND k.state IN ('live', 'settling', 'frozen', 'amended')
            ) u;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        v_paused := headrace.unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
        IF v_paused IS NULL THEN
            RAISE;
        END IF;
    END;
    IF v_paused IS NOT NULL THEN
        RETURN headrace.list_readable_campaigns(p_user_id, v_at, v_id, v_last, p_limit, v_paused);
    END IF;
    RETURN jsonb_build_object('campaigns', coalesce(v_list, '{}'), 'next_cursor', v_next);
END
$$;

-- Name: list_readable_campaigns(uuid, timestamp with time zone, uuid, uuid, integer, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.list_readable_campaigns(p_user_id uuid, p_at timestamp with time zone, p_id uuid, p_last uuid, p_limit integer, p_paused text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_list jsonb;
    v_next text;
BEGIN
    IF EXISTS (
        SELECT FROM headrace.source_problems(ARRAY['campaigns']) p
        WHERE p.column_name IS NULL OR p.column_name IN ('id', 'created_at') OR p.column_name = 'user_id' AND p_user_id IS NOT NULL)
    THEN
        RAISE EXCEPTION '%', p_paused USING ERRCODE = 'HR001';
    END IF;
    SELECT
        jsonb_agg(
            CASE
                WHEN (d).campaign_id IS NOT NULL THEN headrace.document_json(u.facts, d)
                ELSE u.facts || jsonb_build_object(
                    'source', 'none', 'state', CASE WHEN u.shows_numbers THEN 'pending' END, 'version', NULL, 'computed_at', NULL,
                    'age_seconds', NULL, 'frozen_at', NULL, 'deleted_at', NULL, 'totals', NULL, 'template_stats', NULL)
            END || jsonb_build_object('paused', p_paused) ORDER BY u.n) FILTER (WHERE u.n <= p_limit),
        rtrim(translate(encode(convert_to(
            (jsonb_agg(jsonb_build_array(u.created_at AT TIME ZONE 'UTC', u.campaign_id, md5(p_user_id::text)))
                FILTER (WHERE u.n = p_limit AND u.found > p_limit) -> 0)::text, 'UTF8'), 'base64'), E'+/\n', '-_'), '=')
    INTO v_list, v_next
    FROM (
        SELECT
            c.campaign_id, c.created_at, s.shows_numbers, d,
            jsonb_build_object(
                'campaign_id', c.campaign_id, 'name', coalesce(c.name, d.facts ->> 'name'), 'status', c.status,
                'created_at', c.created_at, 'completed_at', c.completed_at) AS facts,
            row_number() OVER (ORDER BY c.created_at DESC, c.campaign_id DESC) AS n, count(*) OVER () AS found
        FROM (
            SELECT r.* FROM headrace.readable_campaigns() r
            WHERE (r.created_at, r.campaign_id) <= (p_at, p_id) AND r.campaign_id IS DISTINCT FROM p_last
                AND (p_user_id IS NULL OR r.user_id = p_user_id)
            ORDER BY r.created_at DESC, r.campaign_id DESC LIMIT p_limit + 1
        ) c
        LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
        CROSS JOIN LATERAL (
            SELECT coalesce(k.state IN ('frozen', 'amended'), false) OR coalesce(c.status NOT IN ('scheduled', 'failed'), true) AS shows_numbers
        ) s
        LEFT JOIN headrace.campaign_computed_stats d
            ON d.campaign_id = c.campaign_id AND s.shows_numbers AND k.state IN ('live', 'settling', 'frozen', 'amended')
    ) u;
    RETURN jsonb_build_object('campaigns', coalesce(v_list, '[]'), 'next_cursor', v_next, 'paused', p_paused);
END
$$;

-- Name: listed_template(text, uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.listed_template(p_name text, p_md5 uuid) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (octet_length(p_name) > 1000) THEN ((substr(p_name, 1, 1000) || '...'::text) || replace((p_md5)::text, '-'::text, ''::text)) ELSE p_name END;

-- Name: live_counters(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.live_counters(p_campaign_id uuid) RETURNS TABLE(template_name text, total bigint, sent bigint, delivered bigint, read bigint, replied bigint, failed bigint, failed_queue bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    RETURN QUERY
    SELECT
        b.template_name, sum(b.messages)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 1 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 2 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 4 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 32 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 8 > 0), 0)::bigint,
        coalesce(sum(b.messages) FILTER (WHERE b.bits & 16 > 0), 0)::bigint
    FROM (
        SELECT o.template_name, o.bits, count(*) AS messages
        FROM headrace.message_outcome_live() o
        WHERE o.campaign_id = p_campaign_id
        GROUP BY o.template_name, o.bits
    ) b
    GROUP BY b.template_name;
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(NULL, SQLSTATE, SQLERRM);
    RAISE;
END
$$;

-- Name: live_stats(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.live_stats(p_campaign_id uuid) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
    WITH outcome AS MATERIALIZED (
        SELECT
            headrace.template_key(o.template_name) AS template_name, o.bits,
            headrace.latency_seconds(o.sent_at, o.delivered_at) AS delivered_after, headrace.latency_seconds(o.sent_at, o.read_at) AS read_after
        FROM headrace.message_outcome_live() o WHERE o.campaign_id = p_campaign_id
    ), template AS (
        SELECT
            o.template_name, count(*) AS total,
            count(*) FILTER (WHERE o.bits & 1 > 0) AS sent, count(*) FILTER (WHERE o.bits & 2 > 0) AS delivered,
            count(*) FILTER (WHERE o.bits & 4 > 0) AS read, count(*) FILTER (WHERE o.bits & 32 > 0) AS replied,
            count(*) FILTER (WHERE o.bits & 8 > 0) AS failed, count(*) FILTER (WHERE o.bits & 16 > 0) AS failed_queue
        FROM outcome o GROUP BY o.template_name
    ), listed AS (
        SELECT t.* FROM template t ORDER BY t.total DESC, headrace.template_md5(t.template_name) LIMIT headrace.most_listed_templates()
    )
    SELECT jsonb_build_object(
        'totals', headrace.counters_json(
            coalesce(sum(t.total), 0)::bigint, coalesce(sum(t.sent), 0)::bigint, coalesce(sum(t.delivered), 0)::bigint,
            coalesce(sum(t.read), 0)::bigint, coalesce(sum(t.replied), 0)::bigint, coalesce(sum(t.failed), 0)::bigint,
            coalesce(sum(t.failed_queue), 0)::bigint)
            || (
                SELECT jsonb_build_object(
                    'median_seconds_to_delivered', trim_scale((percentile_cont(0.5) WITHIN GROUP (ORDER BY o.delivered_after))::numeric),
                    'median_seconds_to_read', trim_scale((percentile_cont(0.5) WITHIN GROUP (ORDER BY o.read_after))::numeric))
                FROM outcome o)
            || headrace.templates_json(count(*)),
        'template_stats', (
            SELECT coalesce(jsonb_agg(
                jsonb_build_object('template_name', l.template_name)
                || headrace.counters_json(l.total, l.sent, l.delivered, l.read, l.replied, l.failed, l.failed_queue)
                ORDER BY l.template_name COLLATE "C"), '[]')
            FROM listed l))
    FROM template t
$$;

-- Name: lock_campaigns(uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.lock_campaigns(p_campaigns uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO headrace.campaign (campaign_id, rebuild_requested_at)
    SELECT u.id, clock_timestamp() FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id WHERE id IS NOT NULL) u
    WHERE NOT EXISTS (SELECT FROM headrace.campaign c WHERE c.campaign_id = u.id)
    ORDER BY u.id
    ON CONFLICT (campaign_id) DO NOTHING;
    PERFORM FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id) u INNER JOIN headrace.campaign c ON c.campaign_id = u.id
    ORDER BY c.campaign_id FOR NO KEY UPDATE OF c;
END
$$;

-- Name: lock_webhook_buckets(smallint[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.lock_webhook_buckets(p_buckets smallint[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_locked integer;
BEGIN
    PERFORM FROM headrace.webhook_lock l WHERE l.bucket = ANY (p_buckets) ORDER BY l.bucket FOR UPDATE;
    GET DIAGNOSTICS v_locked = ROW_COUNT;
    IF v_locked < cardinality(p_buckets) THEN
        INSERT INTO headrace.webhook_lock (bucket) SELECT b FROM generate_series(0, 255) b ON CONFLICT DO NOTHING;
        PERFORM FROM headrace.webhook_lock l WHERE l.bucket = ANY (p_buckets) ORDER BY l.bucket FOR UPDATE;
        GET DIAGNOSTICS v_locked = ROW_COUNT;
    END IF;
    RETURN v_locked;
END
$$;

-- Name: log_change_anew(text, "char", jsonb, jsonb, jsonb, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.log_change_anew(p_source text, p_op "char", p_old jsonb, p_new jsonb, p_spec jsonb, p_cause text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_row constant jsonb := coalesce(p_new, p_old);
    v_entity constant text := p_spec ->> 'entity';
    v_scope constant text := p_spec ->> 'scope';
    v_only constant text := p_spec ->> 'only_column';
    v_keys constant text[] := ARRAY(SELECT jsonb_array_elements_text(p_spec -> 'keys'));
    v_left constant text[] := ARRAY(SELECT jsonb_array_elements_text(p_spec -> 'left'));
    v_watch constant text[] := ARRAY(SELECT jsonb_array_elements_text(p_spec -> 'watch'));
    v_old jsonb;
    v_new jsonb;
    v_data jsonb;
BEGIN
    IF NOT v_row ?& (v_keys || v_left || v_watch || array_remove(ARRAY[v_entity, v_scope, v_only], NULL)) THEN
        IF current_setting('headrace.not_readable', true) IS DISTINCT FROM p_source || ' ' || pg_current_xact_id() THEN
            INSERT INTO headrace.change_log (source, op, cause) VALUES (p_source, 'X', p_cause);
            PERFORM set_config('headrace.not_readable', p_source || ' ' || pg_current_xact_id(), true);
        END IF;
        RETURN;
    END IF;
    IF p_op = 'U' AND NOT EXISTS (SELECT FROM unnest(v_watch) w WHERE p_old -> w IS DISTINCT FROM p_new -> w) THEN
        RETURN;
    END IF;
    IF v_only IS NOT NULL AND (coalesce(p_old ->> v_only = p_spec ->> 'only_value', false) OR coalesce(p_new ->> v_only = p_spec ->> 'only_value', false)) IS FALSE THEN
        RETURN;
    END IF;
    v_old := (SELECT jsonb_object_agg(k, p_old ->> k) FROM unnest(v_keys || v_left) k WHERE p_old IS NOT NULL);
    v_new := (SELECT jsonb_object_agg(k, p_new ->> k) FROM unnest(v_keys) k WHERE p_new IS NOT NULL);
    v_data := CASE
        WHEN p_op = 'U' AND cardinality(v_left) > 0
            THEN CASE WHEN EXISTS (SELECT FROM unnest(v_left) k WHERE p_old -> k IS DISTINCT FROM p_new -> k) THEN jsonb_build_object('old', v_old) END
        WHEN v_old IS NOT NULL AND v_new IS NOT NULL THEN jsonb_build_object('old', v_old, 'new', v_new)
        WHEN v_old IS NOT NULL THEN jsonb_build_object('old', v_old)
        WHEN v_new IS NOT NULL THEN jsonb_build_object('new', v_new)
    END;
    INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause)
    SELECT p_source, p_op, r.entry ->> v_entity, r.entry ->> v_scope, v_data, p_cause
    FROM (
        SELECT v_row AS entry
        UNION ALL
        SELECT p_old WHERE p_op = 'U' AND p_old -> v_entity IS DISTINCT FROM p_new -> v_entity
    ) r;
END
$$;

-- Name: merge_counts(integer[], integer[], integer[], integer[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.merge_counts(INOUT vals integer[], INOUT counts integer[], p_more_values integer[], p_more_counts integer[]) RETURNS record
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_place integer;
BEGIN
    FOR i IN 1 .. cardinality(p_more_values) LOOP
        v_place := width_bucket(p_more_values[i], vals);  -- how many are less or equal
        IF v_place = 0 OR vals[v_place] <> p_more_values[i] THEN
            vals := vals[:v_place] || p_more_values[i] || vals[v_place + 1:];
            counts := counts[:v_place] || p_more_counts[i] || counts[v_place + 1:];
        ELSIF counts[v_place] + p_more_counts[i] = 0 THEN
            vals := vals[:v_place - 1] || vals[v_place + 1:];
            counts := counts[:v_place - 1] || counts[v_place + 1:];
        ELSE
            counts[v_place] := counts[v_place] + p_more_counts[i];
        END IF;
    END LOOP;
END
$$;

-- Name: message_bits(text, integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.message_bits(p_queue_status text, p_evidence integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((p_evidence & 2) > 0) THEN (p_evidence & 7) ELSE ((COALESCE(p_evidence, 0) & 9) | CASE p_queue_status WHEN 'sent'::text THEN 1 WHEN 'failed'::text THEN 24 ELSE 0 END) END;

-- Name: message_outcome_live(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.message_outcome_live() RETURNS TABLE(id uuid, campaign_id uuid, template_name text, bits integer, sent_at timestamp with time zone, delivered_at timestamp with time zone, read_at timestamp with time zone, replied_at timestamp with time zone)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT
        s.id, s.campaign_id, s.template_name,
        s.bits | CASE WHEN s.bits & 1 > 0 AND r.id IS NOT NULL THEN 32 ELSE 0 END,
        s.sent_at, s.delivered_at, s.read_at,
        CASE WHEN s.bits & 1 > 0 THEN r.replied_at END
    FROM (
        SELECT
            q.id, q.campaign_id, q.template_name::text AS template_name,
            headrace.message_bits(q.status::text, bit_or(headrace.status_bits(l.status))) AS bits,
            least(
                CASE WHEN q.status = 'sent' THEN min(coalesce(q.sent_at, q.created_at)) END,
                min(l.created_at) FILTER (WHERE headrace.status_bits(l.status) & 1 > 0)
            ) AS sent_at,
            min(l.created_at) FILTER (WHERE headrace.status_bits(l.status) & 2 > 0) AS delivered_at,
            min(l.created_at) FILTER (WHERE headrace.status_bits(l.status) & 4 > 0) AS read_at
        FROM "public".send_queue q
        LEFT JOIN headrace.stg_message_status_logs() l ON q.whatsapp_message_id::text = l.whatsapp_message_id AND l.whatsapp_message_id <> ''
        WHERE headrace.source_holds('send_queue')
        GROUP BY q.id, q.campaign_id, q.template_name, q.status
    ) s
    INNER JOIN headrace.stg_campaigns() c ON s.campaign_id = c.campaign_id
    LEFT JOIN (
        SELECT u.id, u.campaign_id, min(u.created_at) AS replied_at
        FROM (
            SELECT q.id, q.campaign_id, m.created_at
            FROM headrace.stg_incoming_messages() m
            INNER JOIN headrace.stg_send_queue() q
                ON m.user_phone = q.user_phone AND m.whatsapp_number_id = q.whatsapp_number_id AND m.created_at > q.at
                    AND extract(EPOCH FROM m.created_at) - extract(EPOCH FROM q.at) <= headrace.reply_window()
            WHERE coalesce(m.context_message_id, '') = '' AND m.user_phone <> '' AND m.whatsapp_number_id <> '' AND NOT EXISTS (
                SELECT FROM headrace.stg_send_queue() n
                WHERE n.user_phone = q.user_phone AND n.whatsapp_number_id = q.whatsapp_number_id
                    AND (n.at, n.id) > (q.at, q.id) AND n.at < m.created_at
                    AND (n.status = 'sent' OR EXISTS (
                        SELECT FROM headrace.stg_message_status_logs() l
                        WHERE l.whatsapp_message_id = n.whatsapp_message_id AND n.whatsapp_message_id <> ''
                            AND headrace.status_bits(l.status) & 1 > 0)))
            UNION ALL
            SELECT q.id, q.campaign_id, m.created_at
            FROM headrace.stg_incoming_messages() m
            INNER JOIN headrace.stg_send_queue() q ON m.context_message_id = q.whatsapp_message_id
            WHERE m.context_message_id <> ''
        ) u
        GROUP BY u.id, u.campaign_id
    ) r ON s.id = r.id AND s.campaign_id = r.campaign_id
$$;

-- Name: missing_change_log_days(integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.missing_change_log_days(p_ahead integer DEFAULT 14) RETURNS SETOF date
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT d.day
    FROM (SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, least(p_ahead, 31)) n) d
    WHERE
        CASE
            WHEN to_regclass('headrace.change_log_' || to_char(d.day, 'YYYYMMDD')) IS NOT NULL THEN false
            -- Writers of this day may be routed to a large DEFAULT right now.
            WHEN d.day::timestamp AT TIME ZONE 'UTC' < headrace.first_fenceable_moment() AND headrace.default_is_large() THEN false
            -- Scanned once for all days, and only if one is missing.
            ELSE d.day NOT IN (
                SELECT (l.changed_at AT TIME ZONE 'UTC')::date FROM headrace.change_log_default l
                WHERE l.changed_at >= (now() AT TIME ZONE 'UTC')::date::timestamp AT TIME ZONE 'UTC')
        END
    ORDER BY d.day
$$;

-- Name: missing_source_rows(jsonb, jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.missing_source_rows(p_then jsonb, p_now jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT coalesce(jsonb_object_agg(t.name, (p_then ->> t.name)::bigint - (p_now ->> t.name)::bigint), '{}')
    FROM (VALUES ('send_queue'), ('message_status_logs'), ('messages')) t (name)
    WHERE (p_now ->> t.name)::bigint < (p_then ->> t.name)::bigint
$$;

-- Name: most_listed_templates(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.most_listed_templates() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (1000)::bigint;

-- Name: new_webhook_items(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.new_webhook_items(p_items jsonb, OUT items jsonb, OUT statuses bigint, OUT messages bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    v_messages jsonb;
BEGIN
    items := '[]';
    statuses := 0;
    messages := 0;
    IF p_items @> '[{"kind": "status"}]' THEN
        SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.n), '[]'), count(*) INTO items, statuses
        FROM (
            SELECT DISTINCT ON (i.message_id COLLATE "C", i.status COLLATE "C", i.at)
                'status' AS kind, i.message_id, i.status, i.at, i.n,
                (SELECT q.campaign_id::text FROM "public".send_queue q WHERE headrace.source_holds('send_queue') AND q.whatsapp_message_id = i.message_id LIMIT 1) AS campaign_id,
                i.errors
            FROM ROWS FROM (
                jsonb_to_recordset(p_items) AS (kind text, message_id text, status text, at timestamptz, errors jsonb)
            ) WITH ORDINALITY i (kind, message_id, status, at, errors, n)
            WHERE i.kind = 'status' AND NOT EXISTS (
                SELECT FROM "public".message_status_logs l
                WHERE headrace.source_holds('message_status_logs') AND l.whatsapp_message_id = i.message_id AND l.status = i.status AND l.created_at = i.at
                    AND l.whatsapp_message_id::text COLLATE "C" = i.message_id COLLATE "C" AND l.status::text COLLATE "C" = i.status COLLATE "C")
            ORDER BY i.message_id COLLATE "C", i.status COLLATE "C", i.at, i.n
        ) s;
    END IF;

    IF p_items @> '[{"kind": "message"}]' THEN
        SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.n), '[]'), count(*) INTO v_messages, messages
        FROM (
            SELECT DISTINCT ON (i.message_id COLLATE "C", i.user_phone COLLATE "C", i.whatsapp_number_id COLLATE "C", i.at) i.*
            FROM ROWS FROM (
                jsonb_to_recordset(p_items) AS (
                    kind text, message_id text, user_phone text, whatsapp_number_id text, at timestamptz, reference text)
            ) WITH ORDINALITY i (kind, message_id, user_phone, whatsapp_number_id, at, reference, n)
            WHERE i.kind = 'message' AND NOT EXISTS (
                -- uses the contract's index of incoming messages
                SELECT FROM "public".messages e
                WHERE headrace.source_holds('messages') AND headrace.source_holds('messages others') AND e.user_phone = i.user_phone AND e.whatsapp_number_id = i.whatsapp_number_id AND e.created_at = i.at
                    AND e.direction = 'incoming' AND e.whatsapp_message_id::text COLLATE "C" = i.message_id COLLATE "C")
            ORDER BY i.message_id COLLATE "C", i.user_phone COLLATE "C", i.whatsapp_number_id COLLATE "C", i.at, i.n
        ) m;
        items := items || v_messages;
    END IF;
END
$$;

-- Name: note_altered_source(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.note_altered_source(p_source text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    s headrace.source;
    t record;
    v_columns text[];
    v_parts oid[];
    v_changed boolean;
    v_left boolean;
    v_queued bigint := 0;
    v_more bigint;
BEGIN
    SELECT * INTO s FROM headrace.source x WHERE x.source = p_source FOR UPDATE SKIP LOCKED;
    v_columns := ARRAY(SELECT jsonb_object_keys(s.columns));
    IF NOT FOUND OR EXISTS (SELECT FROM headrace.source_problems(ARRAY[p_source])) THEN
        RETURN 0;
    END IF;
    v_parts := headrace.source_parts(s.relid);
    SELECT bool_or(k.now ->> 'number' <> n.noted ->> 'number'
        OR k.now ->> 'version' <> n.noted ->> 'version' AND headrace.source_storage(s.relid) <> s.storage)
    INTO v_changed
    FROM jsonb_each(s.columns) n (name, noted)
    INNER JOIN jsonb_each(headrace.source_columns(s.relid, v_columns)) k (name, now) ON k.name = n.name;
    v_changed := coalesce(v_changed, false) OR EXISTS (
        SELECT FROM unnest(v_parts) p INNER JOIN pg_class c ON c.oid = p
        WHERE p <> ALL (s.parts) AND (pg_relation_size(p) > 0 OR c.relkind = 'f'));
    v_left := EXISTS (SELECT FROM unnest(s.parts) p WHERE p <> ALL (v_parts));
    FOR t IN SELECT m.* FROM headrace.stream m WHERE p_source = ANY (m.sources) ORDER BY m.stream LOOP
        v_more := 0;
        IF v_changed AND t.rebuild_all IS NOT NULL THEN
            EXECUTE format('SELECT %s()', t.rebuild_all) INTO v_more;
        ELSIF v_left AND t.rows_left IS NOT NULL THEN
            EXECUTE format('SELECT %s($1)', t.rows_left) INTO v_more USING p_source;
        END IF;
        v_queued := v_queued + v_more;
    END LOOP;
    PERFORM headrace.note_source(p_source, s.relid, v_columns);
    RETURN v_queued;
END
$_$;

-- Name: note_source(text, oid, text[], jsonb, jsonb, jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.note_source(p_source text, p_table oid, p_columns text[], p_triggers jsonb DEFAULT NULL::jsonb, p_functions jsonb DEFAULT NULL::jsonb, p_specs jsonb DEFAULT NULL::jsonb) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    INSERT INTO headrace.source AS s (source, schema_name, table_name, relid, columns, parts, storage, mark, triggers, functions, specs)
    SELECT
        p_source, n.nspname, c.relname, c.oid, headrace.source_columns(c.oid, p_columns), headrace.source_parts(c.oid),
        headrace.source_storage(c.oid), headrace.source_mark(n.nspname, c.relname, p_columns), coalesce(p_triggers, '{}'), coalesce(p_functions, '{}'),
        coalesce(p_specs, '{}')
    FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = p_table
    ON CONFLICT (source) DO UPDATE SET
        schema_name = excluded.schema_name, table_name = excluded.table_name, relid = excluded.relid, columns = excluded.columns,
        parts = excluded.parts, storage = excluded.storage, mark = excluded.mark, noted_at = clock_timestamp(),
        triggers = coalesce(p_triggers, s.triggers), functions = coalesce(p_functions, s.functions),
        specs = coalesce(p_specs, s.specs)
    WHERE (s.mark, s.storage, s.triggers, s.functions, s.specs) IS DISTINCT FROM (
        excluded.mark, excluded.storage, coalesce(p_triggers, s.triggers), coalesce(p_functions, s.functions), coalesce(p_specs, s.specs))
$$;

-- Name: noted_interval(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.noted_interval(p_name text) RETURNS interval
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT coalesce((SELECT make_interval(secs => i.value::double precision) FROM headrace.installation i WHERE i.name = p_name), interval '0')
$$;

-- Name: oldest_writer(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.oldest_writer() RETURNS TABLE(pid integer, role_name name, application_name text, seconds double precision, gid text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT w.pid, w.role_name, w.application_name, extract(EPOCH FROM clock_timestamp() - w.since)::double precision, w.gid
    FROM (
        SELECT a.pid, a.usename AS role_name, coalesce(a.application_name, '') AS application_name, a.xact_start AS since,
            age(a.backend_xid) AS xids, NULL::text AS gid
        FROM pg_stat_activity a
        WHERE a.datname = current_database() AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
        UNION ALL
        SELECT NULL, p.owner, '', p.prepared, age(p.transaction), p.gid
        FROM pg_prepared_xacts p
        WHERE p.database = current_database()
    ) w
    ORDER BY w.since NULLS LAST, w.xids DESC
    LIMIT 1
$$;

-- Name: orphaned_statuses(interval, integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.orphaned_statuses(p_older_than interval, p_examples integer DEFAULT 5) RETURNS TABLE(status text, statuses bigint, orphaned bigint, in_messages bigint, oldest timestamp with time zone, newest timestamp with time zone, examples text[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
    WITH orphan AS MATERIALIZED (
        SELECT l.id::text AS id, l.whatsapp_message_id, l.status, l.created_at
        FROM headrace.stg_message_status_logs() l
        WHERE (l.created_at < now() - p_older_than) IS NOT FALSE
            AND NOT EXISTS (SELECT FROM headrace.stg_send_queue() q WHERE q.whatsapp_message_id = l.whatsapp_message_id AND q.whatsapp_message_id <> '')
    ), placed AS (
        SELECT
            o.id, o.status, o.created_at,
            m.id IS NOT NULL AS in_messages,
            row_number() OVER (PARTITION BY o.status ORDER BY o.created_at DESC NULLS LAST, o.id DESC) AS place
        FROM orphan o
        LEFT JOIN (SELECT DISTINCT x.whatsapp_message_id::text AS id FROM "public".messages x WHERE x.whatsapp_message_id <> '' AND headrace.source_holds('messages others')) m ON m.id = o.whatsapp_message_id
    )
    SELECT
        a.status, a.statuses, coalesce(p.orphaned, 0), coalesce(p.in_messages, 0), p.oldest, p.newest, coalesce(p.examples, '{}')
    FROM (
        SELECT l.status, count(*) AS statuses FROM headrace.stg_message_status_logs() l
        WHERE (l.created_at < now() - p_older_than) IS NOT FALSE GROUP BY l.status
    ) a
    LEFT JOIN (
        SELECT
            o.status, count(*) AS orphaned, count(*) FILTER (WHERE o.in_messages) AS in_messages,
            min(o.created_at) AS oldest, max(o.created_at) AS newest,
            array_agg(o.id ORDER BY o.place) FILTER (WHERE o.place <= least(p_examples, 1000)) AS examples
        FROM placed o GROUP BY o.status
    ) p ON p.status IS NOT DISTINCT FROM a.status
    ORDER BY 3 DESC, 1
$$;

-- Name: outcomes_by_message(text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.outcomes_by_message(p_messages text[]) RETURNS TABLE(id text, source_campaign uuid, frozen boolean, old_campaign uuid, old_template text, old_bits smallint, old_sent_at timestamp with time zone, old_delivered_at timestamp with time zone, old_read_at timestamp with time zone, old_replied_at timestamp with time zone, new_campaign uuid, new_template text, new_bits smallint, new_sent_at timestamp with time zone, new_delivered_at timestamp with time zone, new_read_at timestamp with time zone, new_replied_at timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
    SELECT
        k.id, q.campaign_id AS source_campaign, c.state IN ('frozen', 'amended') AS frozen,
        o.campaign_id AS old_campaign, o.template_name AS old_template, o.bits AS old_bits,
        o.sent_at AS old_sent_at, o.delivered_at AS old_delivered_at, o.read_at AS old_read_at, o.replied_at AS old_replied_at,
        CASE WHEN e.bits IS NOT NULL THEN q.campaign_id END AS new_campaign,
        CASE WHEN e.bits IS NOT NULL THEN headrace.template_key(q.template_name) END AS new_template,
        (e.bits | CASE WHEN r.replied THEN 32 ELSE 0 END)::smallint AS new_bits,
        e.sent_at AS new_sent_at, e.delivered_at AS new_delivered_at, e.read_at AS new_read_at, r.replied_at AS new_replied_at
    FROM unnest(p_messages) k (id)
    LEFT JOIN headrace.message_outcome o ON o.message_id = k.id
    LEFT JOIN headrace.stg_send_queue() q ON q.id = k.id::uuid
    LEFT JOIN headrace.campaign c ON c.campaign_id = q.campaign_id
    LEFT JOIN LATERAL (
        SELECT
            headrace.message_bits(q.status, l.evidence) AS bits,
            least(CASE WHEN q.status = 'sent' THEN q.at END, l.sent_at) AS sent_at, l.delivered_at, l.read_at
        FROM (
            SELECT
                bit_or(s.bits) AS evidence, min(s.created_at) FILTER (WHERE s.bits & 1 > 0) AS sent_at,
                min(s.created_at) FILTER (WHERE s.bits & 2 > 0) AS delivered_at, min(s.created_at) FILTER (WHERE s.bits & 4 > 0) AS read_at
            FROM (
                SELECT headrace.status_bits(x.status) AS bits, x.created_at FROM headrace.stg_message_status_logs() x
                WHERE x.whatsapp_message_id = q.whatsapp_message_id AND q.whatsapp_message_id <> ''
            ) s
        ) l
        WHERE c.state IN ('live', 'settling')
        OFFSET 0  -- computed once, not once per mention
    ) e ON true
    LEFT JOIN LATERAL (
        SELECT count(*) > 0 AS replied, min(y.created_at) AS replied_at
        FROM (
            SELECT x.created_at FROM headrace.stg_incoming_messages() x
            WHERE x.context_message_id = q.whatsapp_message_id AND q.whatsapp_message_id <> ''
            UNION ALL
            SELECT m.created_at FROM headrace.stg_incoming_messages() m
            WHERE m.user_phone = q.user_phone AND m.whatsapp_number_id = q.whatsapp_number_id
                AND q.user_phone <> '' AND q.whatsapp_number_id <> ''
                AND m.created_at > q.at AND coalesce(m.context_message_id, '') = ''
                AND extract(EPOCH FROM m.created_at) - extract(EPOCH FROM q.at) <= headrace.reply_window()
                AND NOT EXISTS (
                    SELECT FROM headrace.stg_send_queue() n
                    WHERE n.user_phone = q.user_phone AND n.whatsapp_number_id = q.whatsapp_number_id
                        AND (n.at, n.id) > (q.at, q.id) AND n.at < m.created_at
                        AND (n.status = 'sent' OR EXISTS (
                            SELECT FROM headrace.stg_message_status_logs() l
                            WHERE l.whatsapp_message_id = n.whatsapp_message_id AND n.whatsapp_message_id <> ''
                                AND headrace.status_bits(l.status) & 1 > 0)))
        ) y
        WHERE e.bits & 1 > 0
        OFFSET 0
    ) r ON true
    OFFSET 0
$$;

-- Name: pack_hours(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.pack_hours(p_campaign_id uuid) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    INSERT INTO headrace.campaign_frozen_hours (campaign_id, hours, sent, delivered, read, replied)
    SELECT
        h.campaign_id, array_agg(h.hour ORDER BY h.hour), array_agg(h.sent ORDER BY h.hour), array_agg(h.delivered ORDER BY h.hour),
        array_agg(h.read ORDER BY h.hour), array_agg(h.replied ORDER BY h.hour)
    FROM headrace.campaign_hour h WHERE h.campaign_id = p_campaign_id GROUP BY h.campaign_id;
    DELETE FROM headrace.campaign_hour h WHERE h.campaign_id = p_campaign_id;
$$;

-- Name: queue_new_campaigns(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.queue_new_campaigns() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    WITH queued AS (
        INSERT INTO headrace.campaign (campaign_id, rebuild_requested_at)
        SELECT s.campaign_id, clock_timestamp() FROM headrace.stg_campaigns() s
        WHERE NOT EXISTS (SELECT FROM headrace.campaign c WHERE c.campaign_id = s.campaign_id)
        ORDER BY s.created_at DESC
        ON CONFLICT (campaign_id) DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM queued
$$;

-- Name: raise_unreadable(text[], text, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.raise_unreadable(p_sources text[], p_state text, p_message text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_why constant text := headrace.unreadable(p_sources, p_state, p_message);
BEGIN
    IF v_why IS NOT NULL THEN
        RAISE EXCEPTION '%', v_why USING ERRCODE = 'HR001';
    END IF;
END
$$;

-- Name: readable_campaigns(uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.readable_campaigns(p_campaigns uuid[] DEFAULT NULL::uuid[]) RETURNS TABLE(campaign_id uuid, name text, status text, user_id uuid, created_at timestamp with time zone, completed_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    v_lost constant text[] := ARRAY(SELECT coalesce(p.column_name, 'id') FROM headrace.source_problems(ARRAY['campaigns']) p);
BEGIN
    IF 'id' = ANY (v_lost) THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT c.id, %s, %s, %s, %s, %s FROM "public".campaigns c WHERE $1 IS NULL OR c.id = ANY ($1)',
        CASE WHEN 'name' = ANY (v_lost) THEN 'NULL::text' ELSE 'c.name::text' END,
        CASE WHEN 'status' = ANY (v_lost) THEN 'NULL::text' ELSE 'c.status::text' END,
        CASE WHEN 'user_id' = ANY (v_lost) THEN 'NULL::uuid' ELSE 'c.user_id' END,
        CASE WHEN 'created_at' = ANY (v_lost) THEN 'NULL::timestamptz' ELSE 'c.created_at' END,
        CASE WHEN 'completed_at' = ANY (v_lost) THEN 'NULL::timestamptz' ELSE 'c.completed_at' END)
    USING p_campaigns;
END
$_$;

-- Name: rebase_stream(text, integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebase_stream(p_stream text, p_shards integer DEFAULT NULL::integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_shards integer;
    v_rebuild_all text;
BEGIN
    UPDATE headrace.stream SET shards = coalesce(p_shards, shards) WHERE stream = p_stream
    RETURNING shards, rebuild_all INTO v_shards, v_rebuild_all;
    IF v_shards IS NULL THEN
        RAISE EXCEPTION 'there is no stream %', p_stream USING ERRCODE = 'no_data_found';
    END IF;
    DELETE FROM headrace.stream_cursor WHERE stream = p_stream;
    DELETE FROM headrace.dead_letter WHERE stream = p_stream;
    -- Restored rows may have transaction ids of the former cluster: they would be read again once this one reaches those ids.
    IF NOT EXISTS (SELECT FROM headrace.stream_cursor) THEN
        DELETE FROM headrace.change_log WHERE xid >= pg_snapshot_xmax(pg_current_snapshot());
    END IF;
    -- A restore renumbers tables and columns: tables whose columns all match what was noted are noted again.
    PERFORM headrace.note_source(s.source, c.oid, ARRAY(SELECT jsonb_object_keys(s.columns)))
    FROM headrace.source s
    INNER JOIN headrace.stream t ON t.stream = p_stream AND split_part(s.source, ' others', 1) = ANY (t.sources)
    INNER JOIN pg_class c ON c.relname = s.table_name AND c.relkind IN ('r', 'p')
    INNER JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schema_name
    WHERE c.oid <> s.relid AND NOT EXISTS (SELECT FROM pg_class g WHERE g.oid = s.relid AND g.relkind IN ('r', 'p'))
        AND NOT EXISTS (
            SELECT FROM jsonb_each(s.columns) k (name, noted)
            WHERE headrace.source_columns(c.oid, ARRAY[k.name]) -> k.name ->> 'written' IS DISTINCT FROM k.noted ->> 'written');
    INSERT INTO headrace.stream_cursor (stream, shard, prev, system_identifier, database_name)
    SELECT p_stream, n, pg_current_snapshot(), (SELECT system_identifier FROM pg_control_system()), current_database()
    FROM generate_series(0, v_shards - 1) n;
    IF v_rebuild_all IS NOT NULL THEN
        EXECUTE format('SELECT %s()', v_rebuild_all);
    END IF;
END
$$;

-- Name: rebuild_campaign_stats(uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_campaign_stats(p_campaigns uuid[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
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

-- Name: rebuild_days(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_days(OUT campaigns bigint, OUT first_day date, OUT last_day date) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
    SELECT count(*), min(headrace.calendar_day(c.created_at)), max(headrace.calendar_day(c.created_at))
    FROM headrace.campaign_standing s
    LEFT JOIN headrace.stg_campaigns() c ON c.campaign_id = s.campaign_id
    WHERE s.due AND NOT s.put_off
$$;

-- Name: rebuild_frozen(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_frozen(p_campaign_id uuid) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_status text;  -- null: the source has no such campaign
    v_wrong bigint;
BEGIN
    -- Before the source rows are read: a campaign that appears or disappears later brings its own change, which requests a rebuild.
    SELECT coalesce(c.status, '') INTO v_status FROM headrace.stg_campaigns() c WHERE c.campaign_id = p_campaign_id;
    PERFORM headrace.settle_campaigns(ARRAY[p_campaign_id], false);
    IF v_status IS NULL THEN
        UPDATE headrace.campaign_computed_stats d SET deleted_at = clock_timestamp()
        WHERE d.campaign_id = p_campaign_id AND d.deleted_at IS NULL;
        DELETE FROM headrace.campaign_stats_pending_amendment p WHERE p.campaign_id = p_campaign_id;
        UPDATE headrace.campaign c SET rebuild_requested_at = NULL, late_messages = NULL WHERE c.campaign_id = p_campaign_id;
        RETURN NULL;
    END IF;
    UPDATE headrace.campaign_computed_stats d SET deleted_at = NULL
    WHERE d.campaign_id = p_campaign_id AND d.deleted_at IS NOT NULL;
    v_wrong := headrace.amend_campaign(p_campaign_id, v_status, false, false);
    UPDATE headrace.campaign c SET
        rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(),
        rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
    WHERE c.campaign_id = p_campaign_id AND c.state IN ('frozen', 'amended') AND v_wrong IS NOT NULL;
    RETURN v_wrong;
END
$$;

-- Name: rebuild_items(text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_items(p_items text[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
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

-- Name: rebuild_pick(bigint, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_pick(p_messages bigint DEFAULT 5000, p_patient boolean DEFAULT false) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_upto constant timestamptz := CASE WHEN p_patient THEN v_now ELSE 'infinity' END;
    v_requested CURSOR FOR
        SELECT c.campaign_id FROM headrace.campaign c
        WHERE c.rebuild_requested_at IS NOT NULL AND c.rebuild_error IS NULL
            AND coalesce(c.rebuild_not_before, c.rebuild_requested_at) <= v_upto
        ORDER BY coalesce(c.rebuild_not_before, c.rebuild_requested_at) FOR NO KEY UPDATE SKIP LOCKED;
    v_settled CURSOR FOR
        SELECT c.campaign_id FROM headrace.campaign c
        WHERE c.state = 'settling' AND c.rebuild_requested_at IS NULL AND c.settles_until <= v_now
        ORDER BY c.settles_until FOR NO KEY UPDATE SKIP LOCKED;
    v_most_requested constant integer := 200;
    v_most_settled constant integer := 20;
    v_picked text[] := '{}';
    v_campaign uuid;
    v_size bigint;
    v_counted bigint := 0;
BEGIN
    SELECT c.campaign_id INTO v_campaign FROM headrace.campaign c WHERE c.document_due_at <= v_upto
    ORDER BY c.document_due_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        v_picked := v_picked || v_campaign::text;
    END IF;
    OPEN v_settled;
    LOOP
        FETCH v_settled INTO v_campaign;
        EXIT WHEN NOT FOUND;
        v_size := (SELECT count(*) FROM (SELECT FROM headrace.stg_send_queue() q WHERE q.campaign_id = v_campaign LIMIT p_messages + 1) u);
        EXIT WHEN v_counted > 0 AND v_counted + v_size > p_messages;
        v_picked := v_picked || v_campaign::text;
        v_counted := v_counted + greatest(v_size, 1);
        EXIT WHEN v_counted >= p_messages OR cardinality(v_picked) >= v_most_settled;
    END LOOP;
    CLOSE v_settled;
    IF v_counted < p_messages THEN
        OPEN v_requested;
        LOOP
            FETCH v_requested INTO v_campaign;
            EXIT WHEN NOT FOUND;
            v_size := (SELECT count(*) FROM (SELECT FROM headrace.stg_send_queue() q WHERE q.campaign_id = v_campaign LIMIT p_messages + 1) u);
            EXIT WHEN v_counted > 0 AND v_counted + v_size > p_messages;
            v_picked := v_picked || v_campaign::text;
            v_counted := v_counted + greatest(v_size, 1);
            EXIT WHEN v_counted >= p_messages OR cardinality(v_picked) >= v_most_requested;
        END LOOP;
        CLOSE v_requested;
    END IF;
    IF v_picked = '{}' THEN
        SELECT c.campaign_id INTO v_campaign FROM headrace.campaign c
        WHERE c.rebuild_requested_at IS NOT NULL AND c.rebuild_error IS NOT NULL
            AND coalesce(c.rebuild_not_before, c.rebuild_requested_at) <= v_now
        ORDER BY coalesce(c.rebuild_not_before, c.rebuild_requested_at) LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            v_picked := v_picked || v_campaign::text;
        END IF;
    END IF;
    RETURN v_picked;
END
$$;

-- Name: rebuild_put_off(text[], text, text, double precision); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_put_off(p_items text[], p_code text, p_error text, p_seconds double precision DEFAULT 0) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    IF left(p_code, 2) = '40' OR p_code = '55P03' THEN
        UPDATE headrace.campaign c SET
            rebuild_requested_at = coalesce(c.rebuild_requested_at, clock_timestamp()),
            rebuild_not_before = clock_timestamp() + make_interval(secs => least(greatest(1, 10 * p_seconds), 86400))
        FROM unnest(p_items) u (id) WHERE c.campaign_id = u.id::uuid;
        RETURN;
    END IF;
    UPDATE headrace.campaign c SET
        rebuild_requested_at = coalesce(c.rebuild_requested_at, clock_timestamp()),
        rebuild_failures = c.rebuild_failures + 1, rebuild_error = left(p_code || ' ' || p_error, 1000),
        rebuild_not_before = clock_timestamp() + least(
            greatest(interval '1 minute' * 2 ^ least(c.rebuild_failures, 20), make_interval(secs => least(10 * p_seconds, 86400))), interval '1 day')
    FROM unnest(p_items) u (id) WHERE c.campaign_id = u.id::uuid;
END
$$;

-- Name: rebuild_step(bigint, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_step(p_messages bigint DEFAULT 5000, p_patient boolean DEFAULT false) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_items text[] := headrace.rebuild_pick(p_messages, p_patient);
    v_item text;
    v_began timestamptz;
    v_code text;
    v_message text;
BEGIN
    IF v_items = '{}' THEN
        RETURN 0;
    END IF;
    BEGIN
        IF cardinality(v_items) > 1 THEN
            RETURN headrace.rebuild_items(v_items);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then each is tried alone
    END;
    FOREACH v_item IN ARRAY v_items LOOP
        v_began := clock_timestamp();
        BEGIN
            PERFORM headrace.rebuild_items(ARRAY[v_item]);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            PERFORM headrace.rebuild_put_off(ARRAY[v_item], v_code, v_message, extract(EPOCH FROM clock_timestamp() - v_began));
        END;
    END LOOP;
    RETURN cardinality(v_items);
END
$$;

-- Name: rebuild_unfrozen(uuid[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_unfrozen(p_campaigns uuid[], p_large boolean) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
    v_campaigns uuid[];
    v_states text[];  -- next states; deleted: the source has no such campaign
    v_statuses text[];
    v_freeze uuid[];
    v_rows jsonb[];  -- row counts from before the count that is frozen
    v_straight uuid[];  -- those of v_freeze that are counted without outcomes
    v_stored uuid[];  -- the others
    v_messages text[];
    v_wrong bigint := 0;
    v_changed bigint := 0;
BEGIN
    PERFORM headrace.settle_campaigns(p_campaigns, false);
    -- Before the source rows are read: a campaign that appears or disappears later brings its own change, which requests a rebuild.
    SELECT array_agg(n.campaign_id), array_agg(n.state), array_agg(n.status)
    INTO v_campaigns, v_states, v_statuses
    FROM (
        SELECT
            k.campaign_id, s.status,
            headrace.lifecycle_state(k.state, s.status, k.frozen_status, k.settles_until, clock_timestamp()) AS state
        FROM unnest(p_campaigns) u (id) INNER JOIN headrace.campaign k ON k.campaign_id = u.id
        CROSS JOIN LATERAL (
            SELECT (SELECT coalesce(c.status, '') FROM headrace.stg_campaigns() c WHERE c.campaign_id = k.campaign_id) AS status
        ) s
    ) n;
    SELECT array_agg(u.id), array_agg(headrace.source_row_counts(u.id)) INTO v_freeze, v_rows
    FROM unnest(v_campaigns, v_states) u (id, state) WHERE u.state = 'frozen';
    PERFORM headrace.enter_state(v_campaigns, array_replace(v_states, 'frozen', 'settling'));
    UPDATE headrace.campaign c SET
        rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(), rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
    FROM unnest(v_campaigns) u (id)
    WHERE c.campaign_id = u.id;

    -- Freezing deletes the outcomes: if none are stored yet, none need to be.
    v_straight := ARRAY(
        SELECT u.id FROM unnest(v_freeze) u (id) WHERE NOT EXISTS (SELECT FROM headrace.message_outcome o WHERE o.campaign_id = u.id));
    v_stored := ARRAY(SELECT unnest(v_campaigns) EXCEPT SELECT unnest(v_straight));
    IF v_straight <> '{}' THEN
        v_changed := headrace.count_straight(v_straight, p_large);
    END IF;
    IF v_stored <> '{}' THEN
        IF p_large THEN
            v_changed := headrace.recount_large(v_stored[1]);
        ELSE
            v_messages := ARRAY(
                SELECT q.id::text COLLATE "C" FROM headrace.stg_send_queue() q WHERE q.campaign_id = ANY (v_stored)
                UNION
                SELECT o.message_id FROM headrace.message_outcome o WHERE o.campaign_id = ANY (v_stored)
                ORDER BY 1);
            v_changed := v_changed + coalesce(headrace.fold_messages(v_messages, v_stored, '{}', v_stored), 0);
        END IF;
        -- A rebuild trusts no counter: all are set from the outcomes. Wrong counters are reported if no message was wrong.
        v_wrong := headrace.store_counts(v_stored, false);
    END IF;

    PERFORM headrace.refresh_documents(ARRAY(SELECT u.id FROM unnest(v_campaigns, v_states) u (id, state) WHERE u.state <> 'deleted'));
    FOR i IN 1 .. coalesce(cardinality(v_freeze), 0) LOOP
        IF NOT headrace.freeze_campaign(v_freeze[i], v_statuses[array_position(v_campaigns, v_freeze[i])]) AND v_freeze[i] = ANY (v_straight) THEN
            RAISE EXCEPTION 'campaign % was deleted while it was being counted; trying again', v_freeze[i] USING ERRCODE = 'serialization_failure';
        END IF;
        PERFORM headrace.check_frozen_rows(v_freeze[i], v_rows[i]);
    END LOOP;
    RETURN CASE WHEN v_changed > 0 THEN v_changed ELSE v_wrong END;
END
$$;

-- Name: rebuilds_pending(boolean, bigint); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuilds_pending(p_patient boolean DEFAULT false, p_most bigint DEFAULT NULL::bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_upto constant timestamptz := CASE WHEN p_patient THEN v_now ELSE 'infinity' END;
BEGIN
    RETURN (
        SELECT count(*) FROM (
            SELECT FROM headrace.campaign c
            WHERE c.rebuild_requested_at IS NOT NULL AND c.rebuild_error IS NULL
                AND coalesce(c.rebuild_not_before, c.rebuild_requested_at) <= v_upto
            UNION ALL
            SELECT FROM headrace.campaign c WHERE c.state = 'settling' AND c.rebuild_requested_at IS NULL AND c.settles_until <= v_now
            UNION ALL
            SELECT FROM headrace.campaign c WHERE c.document_due_at <= v_upto
            UNION ALL
            SELECT FROM headrace.campaign c
            WHERE c.rebuild_requested_at IS NOT NULL AND c.rebuild_error IS NOT NULL
                AND coalesce(c.rebuild_not_before, c.rebuild_requested_at) <= v_now
            LIMIT p_most
        ) u
    );
END
$$;

-- Name: record_activity(text[], date[], bigint[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.record_activity(p_assets text[], p_days date[], p_rows bigint[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    INSERT INTO headrace.activity AS a (asset, partition_day, rows_changed, changed_at)
    SELECT s.asset, d.day, sum(d.n), clock_timestamp()
    FROM unnest(p_assets) s (asset) CROSS JOIN unnest(p_days, p_rows) d (day, n)
    GROUP BY s.asset, d.day ORDER BY s.asset, d.day
    ON CONFLICT (asset, partition_day) DO UPDATE SET
        rows_changed = a.rows_changed + excluded.rows_changed, changed_at = excluded.changed_at
$$;

-- Name: recount_large(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.recount_large(p_campaign_id uuid) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
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

-- Name: refresh_documents(uuid[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.refresh_documents(p_campaigns uuid[], p_frozen boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_written bigint;
BEGIN
    IF coalesce(cardinality(p_campaigns), 0) = 0 THEN
        RETURN 0;
    END IF;
    PERFORM headrace.lock_campaigns(p_campaigns);
    WITH document AS MATERIALIZED (
        SELECT
            k.id AS campaign_id, l.template_stats,
            headrace.counters_json(a.total, a.sent, a.delivered, a.read, a.replied, a.failed, a.failed_queue)
                || jsonb_build_object(
                    'median_seconds_to_delivered', headrace.latency_median(k.id, 'd'), 'median_seconds_to_read', headrace.latency_median(k.id, 'r'))
                || CASE WHEN a.templates > headrace.most_listed_templates() THEN headrace.templates_json(a.templates) ELSE '{}' END AS totals
        FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id) k
        CROSS JOIN LATERAL (
            SELECT
                count(*) AS templates,
                coalesce(sum(s.total), 0)::bigint AS total, coalesce(sum(s.sent), 0)::bigint AS sent, coalesce(sum(s.delivered), 0)::bigint AS delivered,
                coalesce(sum(s.read), 0)::bigint AS read, coalesce(sum(s.replied), 0)::bigint AS replied, coalesce(sum(s.failed), 0)::bigint AS failed,
                coalesce(sum(s.failed_queue), 0)::bigint AS failed_queue
            FROM headrace.campaign_template_stats s WHERE s.campaign_id = k.id
        ) a
        CROSS JOIN LATERAL (
            SELECT
                coalesce(jsonb_agg(
                    jsonb_build_object('template_name', n.template_key)
                    || headrace.counters_json(n.total, n.sent, n.delivered, n.read, n.replied, n.failed, n.failed_queue)
                    ORDER BY n.template_key COLLATE "C"), '[]') AS template_stats
            FROM (
                SELECT s.*, headrace.listed_template(s.template_name, s.template_md5) AS template_key
                FROM (
                    SELECT s.* FROM headrace.campaign_template_stats s WHERE s.campaign_id = k.id
                    ORDER BY s.total DESC, s.template_md5 LIMIT headrace.most_listed_templates()
                ) s
                OFFSET 0
            ) n
        ) l
    ), written AS (
        INSERT INTO headrace.campaign_computed_stats AS d (campaign_id, template_stats, totals, state, version, checksum)
        SELECT
            n.campaign_id, n.template_stats, n.totals, CASE WHEN c.state = 'settling' THEN 'settling' ELSE 'live' END,
            c.last_version + 1, md5(n.template_stats::text || n.totals::text)
        FROM document n INNER JOIN headrace.campaign c ON c.campaign_id = n.campaign_id
        WHERE p_frozen OR c.state NOT IN ('frozen', 'amended')
        ORDER BY n.campaign_id
        ON CONFLICT (campaign_id) DO UPDATE SET
            template_stats = excluded.template_stats, totals = excluded.totals, checksum = excluded.checksum,
            version = d.version + 1, computed_at = clock_timestamp()
        WHERE (d.template_stats, d.totals, d.checksum) IS DISTINCT FROM (excluded.template_stats, excluded.totals, excluded.checksum)
        RETURNING 1
    )
    SELECT count(*) INTO v_written FROM written;
    UPDATE headrace.campaign c SET document_due_at = NULL WHERE c.campaign_id = ANY (p_campaigns) AND c.document_due_at IS NOT NULL;
    RETURN v_written;
END
$$;

-- Name: refresh_unfrozen_documents(uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.refresh_unfrozen_documents(p_campaigns uuid[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT headrace.refresh_documents(p_campaigns, false)
$$;

-- Name: refuse_webhook_isolation(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.refuse_webhook_isolation() RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION 'ingest_whatsapp_webhook would store repeated deliveries twice in a % transaction',
        upper(current_setting('transaction_isolation') COLLATE "C")
    USING ERRCODE = 'invalid_transaction_state', HINT = 'Call it in a READ COMMITTED transaction, PostgreSQL''s default.';
END
$$;

-- Name: register_stream(text, text[], text, integer, boolean, text, text, text, text, text, text, text, text, text, jsonb, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.register_stream(p_stream text, p_sources text[], p_handler text, p_shards integer DEFAULT 1, p_ordered boolean DEFAULT false, p_rebuild_step text DEFAULT NULL::text, p_rebuilds_pending text DEFAULT NULL::text, p_rebuild_all text DEFAULT NULL::text, p_rows_left text DEFAULT NULL::text, p_rebuild_pick text DEFAULT NULL::text, p_rebuild_items text DEFAULT NULL::text, p_rebuild_put_off text DEFAULT NULL::text, p_domain text DEFAULT NULL::text, p_rebuild_new text DEFAULT NULL::text, p_on_setting jsonb DEFAULT '{}'::jsonb, p_unit text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_queued bigint := 0;
BEGIN
    IF to_regprocedure(p_handler || '(headrace.change_log[])') IS NULL THEN
        RAISE EXCEPTION 'stream %: there is no function %(headrace.change_log[]); create it first', p_stream, p_handler
            USING ERRCODE = 'undefined_function';
    END IF;
    INSERT INTO headrace.stream AS s (
        stream, sources, handler, shards, ordered, rebuild_step, rebuilds_pending, rebuild_all, rows_left,
        rebuild_pick, rebuild_items, rebuild_put_off, domain, rebuild_new, on_setting, unit)
    VALUES (
        p_stream, p_sources, p_handler, p_shards, p_ordered, p_rebuild_step, p_rebuilds_pending, p_rebuild_all, p_rows_left,
        p_rebuild_pick, p_rebuild_items, p_rebuild_put_off, p_domain, p_rebuild_new, p_on_setting, p_unit)
    ON CONFLICT (stream) DO UPDATE SET
        sources = excluded.sources, handler = excluded.handler, ordered = excluded.ordered,
        rebuild_step = excluded.rebuild_step, rebuilds_pending = excluded.rebuilds_pending, rebuild_all = excluded.rebuild_all,
        rows_left = excluded.rows_left,
        rebuild_pick = excluded.rebuild_pick, rebuild_items = excluded.rebuild_items, rebuild_put_off = excluded.rebuild_put_off,
        domain = excluded.domain, rebuild_new = excluded.rebuild_new, on_setting = excluded.on_setting, unit = excluded.unit;
    IF NOT EXISTS (SELECT FROM headrace.stream_cursor WHERE stream = p_stream) THEN
        IF p_rebuild_new IS NOT NULL THEN
            EXECUTE format('SELECT %s()', p_rebuild_new) INTO v_queued;
        END IF;
        PERFORM headrace.rebase_stream(p_stream, p_shards);
        IF p_rebuilds_pending IS NOT NULL THEN
            EXECUTE format('SELECT %s(p_patient => false)', p_rebuilds_pending) INTO v_queued;
        END IF;
    END IF;
    RETURN v_queued;
END
$$;

-- Name: remove_default_fence(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.remove_default_fence() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET lock_timeout TO '80ms'
    AS $$
DECLARE
    v_name text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'headrace.change_log_default'::regclass AND tgname = 'fence') THEN
        RETURN false;
    END IF;
    LOCK TABLE headrace.change_log_default IN ACCESS EXCLUSIVE MODE;
    FOR v_name IN
        SELECT conname FROM pg_constraint WHERE conrelid = 'headrace.change_log_default'::regclass AND starts_with(conname::text, 'fence_')
    LOOP
        EXECUTE format('ALTER TABLE headrace.change_log_default DROP CONSTRAINT %I', v_name);
    END LOOP;
    DROP TRIGGER IF EXISTS fence ON headrace.change_log_default;
    RETURN true;
END
$$;

-- Name: reopen_campaigns(uuid[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.reopen_campaigns(p_campaigns uuid[], p_accept_fewer_rows boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_missing uuid;
    v_campaign uuid;
    v_status text;
    v_reopened bigint := 0;
BEGIN
    SELECT id INTO v_missing FROM unnest(p_campaigns) id
    WHERE NOT EXISTS (SELECT FROM headrace.stg_campaigns() c WHERE c.campaign_id = id) ORDER BY id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no campaign %', v_missing USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM headrace.lock_campaigns(p_campaigns);
    FOR v_campaign, v_status IN
        SELECT k.campaign_id, coalesce(c.status, '') FROM headrace.campaign k INNER JOIN headrace.stg_campaigns() c ON c.campaign_id = k.campaign_id
        WHERE k.campaign_id = ANY (p_campaigns) AND k.state IN ('frozen', 'amended') ORDER BY k.campaign_id
    LOOP
        IF headrace.amend_campaign(v_campaign, v_status, coalesce(p_accept_fewer_rows, false), true) IS NULL THEN
            RAISE object_not_in_prerequisite_state USING MESSAGE =
                'campaign ' || v_campaign || ' has fewer source rows than when it was frozen, reopened it would lack them: '
                'restore them, or accept that with --accept-fewer-rows (p_accept_fewer_rows => true)';
        END IF;
        PERFORM headrace.rebuild_campaign_stats(ARRAY[v_campaign]);
        v_reopened := v_reopened + 1;
    END LOOP;
    RETURN v_reopened;
END
$$;

-- Name: reply_window(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.reply_window() RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 604800.0;

-- Name: request_amendments(uuid[], text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.request_amendments(p_campaigns uuid[], p_messages text[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    UPDATE headrace.campaign c SET
        rebuild_requested_at = coalesce(c.rebuild_requested_at, clock_timestamp()),
        -- An amendment recounts the whole campaign, so late changes of a large one are collected: a worker keeps most of its time for others.
        rebuild_not_before = CASE WHEN k.total >= 5000 THEN k.last_at + least(interval '0.2 ms' * k.total, interval '1 minute') END,
        -- a few, to be named in the amendment
        late_messages = ARRAY(SELECT DISTINCT m FROM unnest(c.late_messages || k.messages) m ORDER BY m LIMIT 20)
    FROM (
        SELECT
            u.campaign, array_agg(DISTINCT u.message) AS messages, max((d.totals ->> 'total')::bigint) AS total,
            max(greatest(s.rebuilt_at, p.last_at)) AS last_at
        FROM unnest(p_campaigns, p_messages) u (campaign, message)
        INNER JOIN headrace.campaign s ON s.campaign_id = u.campaign
        LEFT JOIN headrace.campaign_computed_stats d ON d.campaign_id = u.campaign
        LEFT JOIN headrace.campaign_stats_pending_amendment p ON p.campaign_id = u.campaign
        GROUP BY u.campaign
    ) k
    WHERE c.campaign_id = k.campaign AND c.state IN ('frozen', 'amended')
$$;

-- Name: request_rebuild(uuid[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.request_rebuild(p_campaigns uuid[] DEFAULT NULL::uuid[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_campaigns constant uuid[] := coalesce(
        p_campaigns, ARRAY(SELECT campaign_id FROM headrace.stg_campaigns() UNION SELECT campaign_id FROM headrace.campaign WHERE state <> 'deleted'));
    v_count bigint;
BEGIN
    PERFORM headrace.lock_campaigns(v_campaigns);
    UPDATE headrace.campaign c SET rebuild_requested_at = clock_timestamp(), rebuild_not_before = NULL
    FROM (SELECT DISTINCT id FROM unnest(v_campaigns) id) u WHERE c.campaign_id = u.id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;

-- Name: request_rebuild_of_unfrozen(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.request_rebuild_of_unfrozen(p_source text) RETURNS bigint
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT headrace.request_rebuild(ARRAY(SELECT s.campaign_id FROM headrace.campaign_standing s WHERE NOT s.final AND s.state <> 'deleted'))
    WHERE p_source <> 'campaigns'
$$;

-- Name: retry_webhook_rejects(bigint[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.retry_webhook_rejects(p_ids bigint[] DEFAULT NULL::bigint[], p_any_type boolean DEFAULT false) RETURNS TABLE(id bigint, stored bigint, repeated bigint, suppressed bigint, reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_ids bigint[] := coalesce(p_ids, ARRAY(SELECT r.id FROM headrace.webhook_reject r WHERE NOT r.notice));
    v_missing bigint;
    v_items jsonb;
    v_statuses bigint;
    v_messages bigint;
    v_left jsonb;
    v_taken jsonb;
    v_times bigint;
    r record;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM headrace.refuse_webhook_isolation();
    END IF;
    SELECT min(i) INTO v_missing FROM unnest(v_ids) i WHERE NOT EXISTS (SELECT FROM headrace.webhook_reject k WHERE k.id = i);
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'there is no webhook reject %', v_missing USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM headrace.lock_webhook_buckets(ARRAY(
        SELECT DISTINCT (hashtext(i.message_id) & 255)::smallint
        FROM headrace.webhook_reject k
        CROSS JOIN headrace.webhook_items(
            headrace.webhook_reject_body(k.path, k.item, k.whatsapp_number_id, k.sender), p_any_type) i
        WHERE k.id = ANY (v_ids) AND i.problem IS NULL));
    FOR r IN SELECT k.* FROM headrace.webhook_reject k WHERE k.id = ANY (v_ids) ORDER BY k.id FOR UPDATE LOOP
        SELECT
            coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NULL), '[]'),
            count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'status'), count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'message'),
            coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NOT NULL), '[]')
        INTO v_items, v_statuses, v_messages, v_left
        FROM headrace.webhook_items(headrace.webhook_reject_body(r.path, r.item, r.whatsapp_number_id, r.sender), p_any_type) i;
        v_taken := headrace.take_webhook_items(v_items, v_statuses, v_messages, NULL);  -- locked above
        v_left := v_left || (v_taken -> 'refused');
        id := r.id;
        stored := (v_taken #>> '{statuses,stored}')::bigint + (v_taken #>> '{messages,stored}')::bigint;
        repeated := (v_taken #>> '{statuses,repeated}')::bigint + (v_taken #>> '{messages,repeated}')::bigint;
        suppressed := (v_taken #>> '{statuses,suppressed}')::bigint + (v_taken #>> '{messages,suppressed}')::bigint;
        reason := (v_left #>> '{0,problem}') || CASE WHEN jsonb_array_length(v_left) > 1 THEN '; ...' ELSE '' END;
        IF jsonb_array_length(v_left) = 1 AND v_left #> '{0,item}' = r.item THEN
            -- The same item is refused again, perhaps for another reason, for which it may already be kept.
            IF reason <> r.reason THEN
                DELETE FROM headrace.webhook_reject k
                WHERE md5(k.item::text) = md5(r.item::text) AND md5(k.reason) = md5(retry_webhook_rejects.reason) AND k.path = r.path
                    AND md5(coalesce(k.whatsapp_number_id, '')) = md5(coalesce(r.whatsapp_number_id, ''))
                RETURNING k.times INTO v_times;
                UPDATE headrace.webhook_reject k
                SET reason = retry_webhook_rejects.reason, times = k.times + coalesce(v_times, 0),
                    sender = coalesce(v_left #>> '{0,user_phone}', k.sender)
                WHERE k.id = r.id;
            END IF;
        ELSE
            -- The reject goes; if it was a larger part, its items that are refused are kept instead.
            DELETE FROM headrace.webhook_reject k WHERE k.id = r.id;
            PERFORM headrace.keep_webhook_rejects(v_left);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Name: settle_anew(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.settle_anew() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_settling constant uuid[] := ARRAY(SELECT c.campaign_id FROM headrace.campaign c WHERE c.state = 'settling');
BEGIN
    PERFORM headrace.lock_campaigns(v_settling);
    PERFORM headrace.settle_campaigns(v_settling, false);
END
$$;

-- Name: settle_campaigns(uuid[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.settle_campaigns(p_campaigns uuid[], p_noticed boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_campaigns uuid[];
    v_states text[];
BEGIN
    WITH found AS (
        SELECT
            k.campaign_id, k.state, s.completed_at, k.state IN ('live', 'settling') AS counted,
            s.completed_at IS NOT NULL AND k.announced_at IS NULL
                AND (p_noticed OR k.rebuilt_at IS NOT NULL AND k.completed_at IS NULL) AS announced
        FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id) u
        INNER JOIN headrace.campaign k ON k.campaign_id = u.id
        LEFT JOIN headrace.stg_campaigns() c ON c.campaign_id = k.campaign_id
        CROSS JOIN LATERAL (
            -- A time of ours is never later than now: a later one came from the source, which has since withdrawn it.
            SELECT CASE
                WHEN c.status = 'completed' THEN coalesce(c.completed_at, least(k.completed_at, k.announced_at, clock_timestamp()))
            END AS completed_at
        ) s
    ), announced AS (
        INSERT INTO headrace.campaign_completion (campaign_id, completed_at)
        SELECT f.campaign_id, f.completed_at FROM found f WHERE f.announced ORDER BY f.completed_at
        RETURNING 1
    ), forgotten AS (
        -- Whoever adds rows also deletes some of the oldest: cheap, and enough to keep up.
        DELETE FROM headrace.campaign_completion o
        WHERE EXISTS (SELECT FROM announced) AND o.noticed_at < clock_timestamp() - interval '30 days'
            AND o.id IN (SELECT e.id FROM headrace.campaign_completion e ORDER BY e.id LIMIT 100 FOR UPDATE SKIP LOCKED)
    ), settled AS (
        UPDATE headrace.campaign k SET
            completed_at = f.completed_at,
            announced_at = CASE WHEN f.completed_at IS NULL THEN NULL WHEN f.announced THEN clock_timestamp() ELSE k.announced_at END
        FROM found f
        WHERE k.campaign_id = f.campaign_id AND (f.announced OR k.completed_at IS DISTINCT FROM f.completed_at)
    )
    SELECT
        array_agg(f.campaign_id),
        array_agg(CASE WHEN NOT f.counted THEN f.state WHEN f.completed_at IS NULL THEN 'live' ELSE 'settling' END)
    INTO v_campaigns, v_states FROM found f WHERE f.state NOT IN ('frozen', 'amended');
    -- for all of them, because the settle window may have changed
    PERFORM headrace.enter_state(v_campaigns, v_states);
END
$$;

-- Name: settle_window(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.settle_window() RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN make_interval(secs => (604800.0)::double precision);

-- Name: source_campaign_ids(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.source_campaign_ids() RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    RETURN QUERY
    SELECT c.campaign_id FROM headrace.stg_campaigns() c;
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
    RAISE;
END
$$;

-- Name: source_columns(oid, text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.source_columns(p_table oid, p_columns text[]) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT coalesce(jsonb_object_agg(a.attname, jsonb_build_object(
        'number', a.attnum, 'type', a.atttypid || ':' || a.attcollation || ':' || a.attgenerated::text,
        'written', format_type(a.atttypid, NULL), 'version', a.xmin::text)), '{}')
    FROM pg_attribute a WHERE a.attrelid = p_table AND a.attname = ANY (p_columns) AND a.attnum > 0 AND NOT a.attisdropped
$$;

-- Name: source_holds(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.source_holds(p_source text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_problem record;
BEGIN
    IF EXISTS (
        SELECT FROM headrace.source s WHERE s.source = p_source
            AND s.mark IS DISTINCT FROM headrace.source_mark(s.schema_name, s.table_name, ARRAY(SELECT jsonb_object_keys(s.columns))))
    THEN
        SELECT p.what, p.remedy INTO v_problem FROM headrace.source_problems(ARRAY[p_source]) p LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '%', v_problem.what || '; run: ' || v_problem.remedy USING ERRCODE = 'HR001';
        END IF;
    END IF;
    RETURN true;
END
$$;

-- Name: source_mark(name, name, text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.source_mark(p_schema name, p_table name, p_columns text[]) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    RETURN (
        SELECT concat_ws(
            ' ', c.oid, c.relkind, hashtext(c.relacl::text),
            CASE WHEN c.relrowsecurity THEN (
                SELECT 'rls ' || string_agg(p.oid || ':' || p.xmin, ',' ORDER BY p.oid) FROM pg_policy p WHERE p.polrelid = c.oid
            ) END, c.relrowsecurity,
            (
                SELECT string_agg(a.attnum || ':' || a.attname || ':' || a.xmin, ',' ORDER BY a.attnum)
                FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY (p_columns)
            ),
            CASE WHEN c.relhassubclass THEN nullif(headrace.source_parts(c.oid)::text, '{}') END)
        FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = p_schema AND c.relname = p_table AND c.relkind IN ('r', 'p')
    );
END
$$;

-- Name: source_parts(oid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.source_parts(p_table oid) RETURNS oid[]
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    WITH RECURSIVE part AS (
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = p_table AND NOT i.inhdetachpending
        UNION ALL
        SELECT i.inhrelid FROM part p INNER JOIN pg_inherits i ON i.inhparent = p.inhrelid AND NOT i.inhdetachpending
    )
    SELECT coalesce(array_agg(p.inhrelid ORDER BY p.inhrelid), '{}') FROM part p
$$;

-- Name: source_problems(text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.source_problems(p_sources text[] DEFAULT NULL::text[]) RETURNS TABLE(source text, column_name text, fault text, found text, what text, remedy text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    WITH noted AS (
        SELECT s.*, (
            SELECT c.oid FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = s.schema_name AND c.relname = s.table_name AND c.relkind IN ('r', 'p')
        ) AS named
        FROM headrace.source s
        WHERE (p_sources IS NULL OR s.source = ANY (p_sources)) AND s.mark IS NOT NULL
    ), place AS (
        SELECT
            n.*, format('%I.%I', n.schema_name, n.table_name) AS full_name,
            m.nspname AS schema_now, m.oid AS namespace, c.relrowsecurity AS secured, c.relname AS table_now, c.oid IS NOT NULL AND m.nspname <> n.schema_name AS moved
        FROM noted n
        LEFT JOIN pg_class c ON c.oid = n.relid AND c.relkind IN ('r', 'p') LEFT JOIN pg_namespace m ON m.oid = c.relnamespace
    ), owner AS (
        SELECT r.oid, r.rolname, r.rolsuper OR r.rolbypassrls AS sees_all
        FROM pg_namespace h INNER JOIN pg_roles r ON r.oid = h.nspowner WHERE h.nspname = 'headrace'
    )
    SELECT
        p.source, NULL, 'gone', CASE WHEN p.moved THEN p.schema_now || '.' || p.table_now ELSE p.table_now END,
        CASE
            WHEN p.table_now IS NULL THEN format('table %s is gone: what reads it is paused', p.table_name)
            ELSE format('table %s is now called %s: what reads it is paused', p.table_name,
                CASE WHEN p.moved THEN p.schema_now || '.' || p.table_now ELSE p.table_now END)
        END,
        CASE
            WHEN p.table_now IS NULL THEN 'headrace migrate'
            WHEN p.moved THEN format('ALTER TABLE %I.%I SET SCHEMA %I;', p.schema_now, p.table_now, p.schema_name)
            ELSE format('ALTER TABLE %I.%I RENAME TO %I;', p.schema_now, p.table_now, p.table_name)
        END
    FROM place p WHERE p.named IS NULL
    UNION ALL
    SELECT
        p.source, NULL, 'replaced', p.table_now,
        format('table %s is another one than when Headrace was installed: what reads it is paused', p.table_name), 'headrace migrate'
    FROM place p WHERE p.named <> p.relid
    UNION ALL
    SELECT
        p.source, NULL, 'denied', o.rolname,
        format('role %s may not read table %s: what reads it is paused', o.rolname, p.table_name), 'headrace migrate'
    FROM place p CROSS JOIN owner o
    WHERE p.named = p.relid AND NOT (has_table_privilege(o.oid, p.relid, 'SELECT') AND has_schema_privilege(o.oid, p.namespace, 'USAGE'))
    UNION ALL
    -- All rows are visible only with a permissive policy that shows all, and no restrictive one that hides some.
    SELECT
        p.source, NULL, 'hidden', o.rolname,
        format('row-level security hides rows of table %s from role %s: what reads it is paused', p.table_name, o.rolname), 'headrace migrate'
    FROM place p CROSS JOIN owner o
    WHERE p.named = p.relid AND p.secured AND NOT o.sees_all AND NOT (
        EXISTS (
            SELECT FROM pg_policy x
            WHERE x.polrelid = p.relid AND x.polpermissive AND x.polcmd IN ('*', 'r') AND x.polroles && ARRAY[o.oid, 0]
                AND pg_get_expr(x.polqual, x.polrelid) = 'true')
        AND NOT EXISTS (
            SELECT FROM pg_policy x
            WHERE x.polrelid = p.relid AND NOT x.polpermissive AND x.polcmd IN ('*', 'r') AND pg_get_expr(x.polqual, x.polrelid) <> 'true'
                AND EXISTS (SELECT FROM unnest(x.polroles) r WHERE r = 0 OR pg_has_role(o.oid, r, 'USAGE'))))
    UNION ALL
    SELECT
        p.source, k.name, 'no column', a.attname,
        CASE
            WHEN a.attname IS NULL THEN format('column %s of table %s is gone: what reads it is paused', k.name, p.table_name)
            ELSE format('column %s of table %s is now called %s: what reads it is paused', k.name, p.table_name, a.attname)
        END,
        CASE WHEN a.attname IS NULL THEN 'headrace migrate'
            ELSE format('ALTER TABLE %s RENAME COLUMN %I TO %I;', p.full_name, a.attname, k.name) END
    FROM place p
    CROSS JOIN LATERAL jsonb_each(p.columns) k (name, noted)
    LEFT JOIN pg_attribute a ON a.attrelid = p.relid AND a.attnum = (k.noted ->> 'number')::smallint AND NOT a.attisdropped
    WHERE p.named = p.relid AND NOT headrace.source_columns(p.relid, ARRAY[k.name]) ? k.name
    UNION ALL
    SELECT
        p.source, k.name, 'type', c.now ->> 'written',
        format('column %s of table %s was %s and is %s now%s: what reads it is paused', k.name, p.table_name, k.noted ->> 'written', c.now ->> 'written',
            CASE WHEN k.noted ->> 'written' = c.now ->> 'written' THEN ', with another collation or generated otherwise' ELSE '' END),
        'headrace migrate'
    FROM place p
    CROSS JOIN LATERAL jsonb_each(p.columns) k (name, noted)
    CROSS JOIN LATERAL (SELECT headrace.source_columns(p.relid, ARRAY[k.name]) -> k.name AS now) c
    WHERE p.named = p.relid AND c.now ->> 'type' <> k.noted ->> 'type'
    ORDER BY 1, 2 NULLS FIRST
$$;

-- Name: source_row_counts(uuid, jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.source_row_counts(p_campaign_id uuid, p_like jsonb DEFAULT NULL::jsonb) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
    WITH stretch AS (
        SELECT
            coalesce((p_like ->> 'messages_from')::numeric, greatest(extract(EPOCH FROM min(q.at)), -1e12)) AS since,
            coalesce((p_like ->> 'messages_until')::numeric, least(extract(EPOCH FROM max(q.at)), 1e12) + headrace.reply_window()) AS until
        FROM headrace.stg_send_queue() q WHERE q.campaign_id = p_campaign_id
    )
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'send_queue', (SELECT count(*) FROM headrace.stg_send_queue() q WHERE q.campaign_id = p_campaign_id),
        'message_status_logs', (
            SELECT count(*) FROM headrace.stg_message_status_logs() l
            WHERE l.whatsapp_message_id IN (
                SELECT q.whatsapp_message_id FROM headrace.stg_send_queue() q
                WHERE q.campaign_id = p_campaign_id AND q.whatsapp_message_id <> '')),
        'messages', (
            SELECT count(*) FROM headrace.stg_incoming_messages() m
            WHERE coalesce(m.context_message_id, '') = '' AND extract(EPOCH FROM m.created_at) BETWEEN s.since AND s.until
                AND (m.user_phone, m.whatsapp_number_id) IN (
                    SELECT q.user_phone, q.whatsapp_number_id FROM headrace.stg_send_queue() q
                    WHERE q.campaign_id = p_campaign_id AND q.user_phone <> '' AND q.whatsapp_number_id <> '')
        ) + (
            SELECT count(*) FROM headrace.stg_incoming_messages() m
            WHERE m.context_message_id IN (
                SELECT q.whatsapp_message_id FROM headrace.stg_send_queue() q
                WHERE q.campaign_id = p_campaign_id AND q.whatsapp_message_id <> '')),
        'messages_from', s.since, 'messages_until', s.until))
    FROM stretch s
$$;

-- Name: source_storage(oid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.source_storage(p_table oid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT md5(coalesce(string_agg(c.oid || ':' || c.relfilenode, ',' ORDER BY c.oid), ''))
    FROM pg_class c WHERE c.oid = ANY (p_table || headrace.source_parts(p_table))
$$;

-- Name: source_values(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.source_values(p_table text) RETURNS TABLE(value text, known boolean, row_count bigint, example text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
    SELECT v.value, v.known, count(*), min(v.id::text) FILTER (WHERE NOT v.known)
    FROM (
        SELECT l.status AS value, l.status IS NOT NULL AND headrace.status_bits(l.status) > 0 AS known, l.id::text AS id
        FROM headrace.stg_message_status_logs() l WHERE p_table = 'message_status_logs'
        UNION ALL
        SELECT q.status, coalesce(q.status IN ('queued', 'sent', 'failed'), false), q.id::text
        FROM headrace.stg_send_queue() q WHERE p_table = 'send_queue'
        UNION ALL
        SELECT m.direction::text, coalesce(m.direction::text IN ('incoming', 'outgoing'), false), m.id::text
        FROM "public".messages m WHERE p_table = 'messages' AND headrace.source_holds('messages')
        UNION ALL
        SELECT c.status, coalesce(c.status IN ('draft', 'scheduled', 'running', 'paused', 'completed', 'failed'), false), c.campaign_id::text
        FROM headrace.stg_campaigns() c WHERE p_table = 'campaigns'
    ) v
    GROUP BY v.value, v.known
    ORDER BY 3 DESC, 1
$$;

-- Name: stats_differences(jsonb, jsonb, jsonb, jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stats_differences(p_old_templates jsonb, p_old_totals jsonb, p_new_templates jsonb, p_new_totals jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
    WITH old AS (
        SELECT t -> 'template_name' AS template, c.key, c.value FROM jsonb_array_elements(p_old_templates) t CROSS JOIN jsonb_each(t - 'template_name') c
        UNION ALL SELECT '"*"', c.key, c.value FROM jsonb_each(p_old_totals) c
    ), new AS (
        SELECT t -> 'template_name' AS template, c.key, c.value FROM jsonb_array_elements(p_new_templates) t CROSS JOIN jsonb_each(t - 'template_name') c
        UNION ALL SELECT '"*"', c.key, c.value FROM jsonb_each(p_new_totals) c
    )
    SELECT coalesce(jsonb_agg(
        jsonb_build_object('template_name', coalesce(o.template, n.template), 'counter', coalesce(o.key, n.key), 'from', o.value, 'to', n.value)
        ORDER BY coalesce(o.template, n.template), coalesce(o.key, n.key)), '[]')
    FROM old o FULL JOIN new n ON o.template = n.template AND o.key = n.key
    WHERE o.value IS DISTINCT FROM n.value AND coalesce(o.key, n.key) !~ '_rate$'
$_$;

-- Name: status_bits(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.status_bits(p_status text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE p_status WHEN 'sent'::text THEN 1 WHEN 'delivered'::text THEN 3 WHEN 'read'::text THEN 7 WHEN 'played'::text THEN 7 WHEN 'failed'::text THEN 8 ELSE 0 END;

-- Name: stg_campaign_contacts(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stg_campaign_contacts() RETURNS TABLE(campaign_id uuid, template_name text)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT k.campaign_id, k.template_name::text
    FROM "public".campaign_contacts k
$$;

-- Name: stg_campaigns(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stg_campaigns() RETURNS TABLE(campaign_id uuid, name text, status text, user_id uuid, created_at timestamp with time zone, completed_at timestamp with time zone)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT
        c.id, c.name::text, c.status::text,
        c.user_id,
        c.created_at,
        c.completed_at
    FROM "public".campaigns c
    WHERE headrace.source_holds('campaigns')
$$;

-- Name: stg_incoming_messages(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stg_incoming_messages() RETURNS TABLE(id uuid, user_phone text, whatsapp_number_id text, created_at timestamp with time zone, context_message_id text)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT
        m.id, m.user_phone::text, m.whatsapp_number_id::text, m.created_at,
        m.context_message_id::text
    FROM "public".messages m
    WHERE headrace.source_holds('messages') AND m.direction = 'incoming'
$$;

-- Name: stg_message_status_logs(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stg_message_status_logs() RETURNS TABLE(id bigint, whatsapp_message_id text, status text, created_at timestamp with time zone)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT l.id, l.whatsapp_message_id::text, l.status::text, l.created_at
    FROM "public".message_status_logs l
    WHERE headrace.source_holds('message_status_logs')
$$;

-- Name: stg_send_queue(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stg_send_queue() RETURNS TABLE(id uuid, campaign_id uuid, template_name text, status text, whatsapp_message_id text, user_phone text, whatsapp_number_id text, at timestamp with time zone)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT
        q.id, q.campaign_id, q.template_name::text, q.status::text,
        q.whatsapp_message_id::text, q.user_phone::text, q.whatsapp_number_id::text, coalesce(q.sent_at, q.created_at)
    FROM "public".send_queue q
    WHERE headrace.source_holds('send_queue')
$$;

-- Name: store_counts(uuid[], boolean, headrace.outcome_change[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.store_counts(p_campaigns uuid[], p_live boolean, p_outcomes headrace.outcome_change[] DEFAULT NULL::headrace.outcome_change[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
    v_live constant uuid := CASE WHEN p_live THEN p_campaigns[1] END;
    v_wrong bigint;
BEGIN
    IF p_live THEN
        PERFORM headrace.unpack_hours(v_live);
    END IF;
    -- One statement, so that counters, series and latencies belong to one snapshot.
    WITH outcome AS MATERIALIZED (
        SELECT
            o.campaign_id, o.template_name, CASE WHEN octet_length(o.template_name) > 1000 THEN o.message_id END AS message_id,
            o.bits::integer AS bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at
        FROM headrace.message_outcome o WHERE o.campaign_id = ANY (p_campaigns) AND NOT p_live AND p_outcomes IS NULL
        UNION ALL
        SELECT
            o.campaign_id, headrace.template_key(o.template_name), CASE WHEN octet_length(o.template_name) > 1000 THEN o.id::text END,
            o.bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at
        FROM headrace.message_outcome_live() o WHERE o.campaign_id = v_live AND p_live
        UNION ALL
        SELECT
            o.new_campaign, o.new_template, CASE WHEN octet_length(o.new_template) > 1000 THEN o.message_id END,
            o.new_bits::integer, o.new_sent_at, o.new_delivered_at, o.new_read_at, o.new_replied_at
        FROM unnest(p_outcomes) o
    ), counted AS (
        SELECT
            b.campaign_id, b.template_name, headrace.template_md5(b.template_name) AS template_md5, min(b.message_id) AS message_id, sum(b.n) AS total,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 1 > 0), 0) AS sent, coalesce(sum(b.n) FILTER (WHERE b.bits & 2 > 0), 0) AS delivered,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 4 > 0), 0) AS read, coalesce(sum(b.n) FILTER (WHERE b.bits & 32 > 0), 0) AS replied,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 8 > 0), 0) AS failed, coalesce(sum(b.n) FILTER (WHERE b.bits & 16 > 0), 0) AS failed_queue
        FROM (
            SELECT o.campaign_id, o.template_name, o.bits, count(*) AS n, min(o.message_id) AS message_id FROM outcome o GROUP BY 1, 2, 3
        ) b
        GROUP BY b.campaign_id, b.template_name
    ), gone AS (
        DELETE FROM headrace.campaign_template_stats s
        WHERE s.campaign_id = ANY (p_campaigns)
            AND NOT EXISTS (SELECT FROM counted k WHERE k.campaign_id = s.campaign_id AND k.template_md5 = s.template_md5)
        RETURNING 1
    ), healed AS (
        UPDATE headrace.campaign_template_stats s SET
            total = k.total, sent = k.sent, delivered = k.delivered, read = k.read, replied = k.replied,
            failed = k.failed, failed_queue = k.failed_queue, updated_at = clock_timestamp()
        FROM counted k
        WHERE s.campaign_id = k.campaign_id AND s.template_md5 = k.template_md5
            AND (s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)
            IS DISTINCT FROM (k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue)
        RETURNING 1
    ), made AS (
        INSERT INTO headrace.campaign_template_stats
            (campaign_id, template_md5, template_name, total, sent, delivered, read, replied, failed, failed_queue)
        SELECT
            k.campaign_id, k.template_md5,
            CASE WHEN k.message_id IS NULL THEN k.template_name ELSE headrace.whole_template_name(k.template_name, k.message_id) END,
            k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue
        FROM counted k
        WHERE NOT EXISTS (
            SELECT FROM headrace.campaign_template_stats s WHERE s.campaign_id = k.campaign_id AND s.template_md5 = k.template_md5)
        RETURNING 1
    ), together AS (
        -- few rows, so that the rest is cheap: most messages share their hours with many others
        SELECT
            o.campaign_id,
            date_bin('1 hour', o.sent_at, '2000-01-01 00:00+00') AS sent, date_bin('1 hour', o.delivered_at, '2000-01-01 00:00+00') AS delivered,
            date_bin('1 hour', o.read_at, '2000-01-01 00:00+00') AS read, date_bin('1 hour', o.replied_at, '2000-01-01 00:00+00') AS replied,
            count(*) AS n
        FROM outcome o GROUP BY 1, 2, 3, 4, 5
    ), hours AS (
        SELECT
            t.campaign_id, v.hour, sum(t.n) FILTER (WHERE v.kind = 's') AS sent, sum(t.n) FILTER (WHERE v.kind = 'd') AS delivered,
            sum(t.n) FILTER (WHERE v.kind = 'r') AS read, sum(t.n) FILTER (WHERE v.kind = 'a') AS replied
        FROM together t
        CROSS JOIN LATERAL (VALUES ('s', t.sent), ('d', t.delivered), ('r', t.read), ('a', t.replied)) v (kind, hour)
        WHERE isfinite(v.hour) GROUP BY t.campaign_id, v.hour
    ), hours_gone AS (
        DELETE FROM headrace.campaign_hour h
        WHERE h.campaign_id = ANY (p_campaigns) AND NOT EXISTS (SELECT FROM hours k WHERE k.campaign_id = h.campaign_id AND k.hour = h.hour)
        RETURNING 1
    ), hours_set AS (
        INSERT INTO headrace.campaign_hour AS h (campaign_id, hour, sent, delivered, read, replied)
        SELECT k.campaign_id, k.hour, coalesce(k.sent, 0), coalesce(k.delivered, 0), coalesce(k.read, 0), coalesce(k.replied, 0) FROM hours k
        ON CONFLICT (campaign_id, hour) DO UPDATE SET
            sent = excluded.sent, delivered = excluded.delivered, read = excluded.read, replied = excluded.replied
        WHERE (h.sent, h.delivered, h.read, h.replied) <> (excluded.sent, excluded.delivered, excluded.read, excluded.replied)
        RETURNING 1
    ), latencies AS (
        SELECT
            u.campaign_id, u.kind, headrace.latency_block(u.seconds) AS block, sum(u.n) AS messages,
            array_agg(u.seconds ORDER BY u.seconds) AS seconds, array_agg(u.n ORDER BY u.seconds) AS counts
        FROM (
            SELECT o.campaign_id, 'd'::"char" AS kind, headrace.latency_seconds(o.sent_at, o.delivered_at) AS seconds, count(*)::integer AS n
            FROM outcome o WHERE o.delivered_at IS NOT NULL GROUP BY 1, 3
            UNION ALL
            SELECT o.campaign_id, 'r', headrace.latency_seconds(o.sent_at, o.read_at), count(*)::integer
            FROM outcome o WHERE o.read_at IS NOT NULL GROUP BY 1, 3
        ) u
        WHERE u.seconds IS NOT NULL
        GROUP BY 1, 2, 3
    ), latencies_gone AS (
        DELETE FROM headrace.campaign_latency l
        WHERE l.campaign_id = ANY (p_campaigns)
            AND NOT EXISTS (SELECT FROM latencies k WHERE k.campaign_id = l.campaign_id AND k.kind = l.kind AND k.block = l.block)
        RETURNING l.messages
    ), latencies_set AS (
        INSERT INTO headrace.campaign_latency AS l (campaign_id, kind, block, messages, seconds, counts)
        SELECT k.campaign_id, k.kind, k.block, k.messages, k.seconds, k.counts FROM latencies k
        ON CONFLICT (campaign_id, kind, block) DO UPDATE SET
            messages = excluded.messages, seconds = excluded.seconds, counts = excluded.counts
        WHERE (l.messages, l.seconds, l.counts) <> (excluded.messages, excluded.seconds, excluded.counts)
        RETURNING 1
    )
    SELECT
        (SELECT count(*) FROM gone) + (SELECT count(*) FROM healed) + (SELECT count(*) FROM made)
        + (SELECT count(*) FROM hours_gone) + (SELECT count(*) FROM hours_set)
        -- A frozen campaign has no latencies to compare with.
        + CASE WHEN p_live THEN 0 ELSE (SELECT count(*) FROM latencies_gone WHERE messages > 0) + (SELECT count(*) FROM latencies_set) END
    INTO v_wrong;
    RETURN v_wrong;
END
$$;

-- Name: store_webhook_items(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.store_webhook_items(p_items jsonb, OUT statuses bigint, OUT messages bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    v_tables pg_catalog.oid[] := ARRAY['"public"."message_status_logs"', '"public"."messages"']::pg_catalog.regclass[]::pg_catalog.oid[];
    v_deferred pg_catalog.text;
BEGIN
    statuses := 0;
    messages := 0;
    IF p_items OPERATOR(pg_catalog.@>) '[{"kind": "status"}]'::pg_catalog.jsonb THEN
        INSERT INTO "public".message_status_logs (
            whatsapp_message_id, status, created_at, campaign_id, errors)
        SELECT
            i.message_id, i.status, i.at, i.campaign_id, i.errors
        FROM pg_catalog.jsonb_to_recordset(p_items) AS i (
            kind pg_catalog.text, message_id pg_catalog.text, status pg_catalog.text, at pg_catalog.timestamptz, errors pg_catalog.jsonb, campaign_id uuid)
        WHERE i.kind OPERATOR(pg_catalog.=) 'status'::pg_catalog.text;
        GET DIAGNOSTICS statuses = ROW_COUNT;
    END IF;
    IF p_items OPERATOR(pg_catalog.@>) '[{"kind": "message"}]'::pg_catalog.jsonb THEN
        INSERT INTO "public".messages (
            whatsapp_message_id, user_phone, whatsapp_number_id, direction, created_at, context_message_id)
        SELECT
            i.message_id, i.user_phone, i.whatsapp_number_id, 'incoming', i.at, i.reference
        FROM pg_catalog.jsonb_to_recordset(p_items) AS i (
            kind pg_catalog.text, message_id pg_catalog.text, user_phone pg_catalog.text, whatsapp_number_id pg_catalog.text,
            at pg_catalog.timestamptz, reference pg_catalog.text)
        WHERE i.kind OPERATOR(pg_catalog.=) 'message'::pg_catalog.text;
        GET DIAGNOSTICS messages = ROW_COUNT;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid OPERATOR(pg_catalog.=) v_tables[1] AND c.condeferred)
        OR EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid OPERATOR(pg_catalog.=) v_tables[2] AND c.condeferred)
    THEN
        SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, c.conname), ', ') INTO v_deferred
        FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.connamespace
        WHERE c.condeferred AND c.conrelid OPERATOR(pg_catalog.=) ANY (v_tables);
        EXECUTE pg_catalog.concat('SET CONSTRAINTS ', v_deferred, ' IMMEDIATE');
        EXECUTE pg_catalog.concat('SET CONSTRAINTS ', v_deferred, ' DEFERRED');
    END IF;
END
$$;

-- Name: stray_changes(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stray_changes() RETURNS TABLE(day date, changes bigint, sources text[], more boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT
        d.day, count(*), array_agg(DISTINCT d.source ORDER BY d.source),
        EXISTS (SELECT FROM headrace.change_log_default l OFFSET 100000)
    FROM (
        SELECT (l.changed_at AT TIME ZONE 'UTC')::date AS day, l.source
        FROM headrace.change_log_default l ORDER BY l.pos LIMIT 100000
    ) d
    GROUP BY d.day ORDER BY d.day
$$;

-- Name: stream_poll(text[], boolean, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stream_poll(p_streams text[] DEFAULT NULL::text[], p_patient boolean DEFAULT false, p_look boolean DEFAULT true) RETURNS TABLE(stream text, shard integer, work text, what text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    v_now constant pg_snapshot := pg_current_snapshot();
    v_xmax constant xid8 := pg_snapshot_xmax(v_now);
    v_cluster constant bigint := (SELECT system_identifier FROM pg_control_system());
    v_committed xid8[];
    v_low xid8;
    v_high xid8;
    v_first boolean;
    v_paused text[] := '{}';
    v_pending text;
    v_waiting bigint;
    c record;
BEGIN
    IF p_look THEN
        FOR stream, shard, work, what IN
            SELECT
                s.stream, -1, CASE WHEN a.problem IS NULL THEN 'altered' ELSE 'paused' END, coalesce(a.problem, a.source)
            FROM headrace.altered_sources() a INNER JOIN headrace.stream s ON a.source = ANY (s.sources)
            WHERE p_streams IS NULL OR s.stream = ANY (p_streams) ORDER BY s.stream, a.source
        LOOP
            IF work = 'paused' THEN
                v_paused := v_paused || stream;
            END IF;
            RETURN NEXT;
        END LOOP;
        what := NULL;
    END IF;
    FOR c IN
        SELECT k.* FROM headrace.stream_cursor k WHERE (p_streams IS NULL OR k.stream = ANY (p_streams)) AND k.stream <> ALL (v_paused)
        ORDER BY k.stream, k.shard
    LOOP
        stream := c.stream;
        shard := c.shard;
        work := NULL;
        v_low := pg_snapshot_xmax(c.prev);
        IF c.system_identifier <> v_cluster OR c.database_name <> current_database() OR v_low > v_xmax THEN
            work := 'mismatch';
        ELSIF c.state = 'lost' THEN
            work := 'lost';
        ELSIF c.cur IS NOT NULL THEN
            work := 'change';
        ELSE
            v_committed := ARRAY(SELECT x FROM pg_snapshot_xip(c.prev) x WHERE pg_visible_in_snapshot(x, v_now));
            IF v_committed <> '{}' AND EXISTS (SELECT FROM headrace.change_log l WHERE l.xid = ANY (v_committed)) THEN
                work := 'change';
            END IF;
            -- Searches only between running transactions, so that polls do not scan a bulk load in progress again and again.
            v_first := true;
            IF work IS NULL AND v_low < v_xmax THEN
                FOR v_high IN
                    SELECT x FROM pg_snapshot_xip(v_now) x WHERE x >= v_low UNION ALL SELECT v_xmax ORDER BY 1
                LOOP
                    IF v_first AND EXISTS (SELECT FROM headrace.change_log l WHERE l.xid >= v_low AND l.xid < v_high)
                        OR NOT v_first AND EXISTS (SELECT FROM headrace.change_log l WHERE l.xid > v_low AND l.xid < v_high)
                    THEN
                        work := 'change';
                        EXIT;
                    END IF;
                    v_low := v_high;
                    v_first := false;
                END LOOP;
            END IF;
        END IF;
        IF work IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
    shard := -1;
    work := 'rebuild';
    FOR stream, v_pending IN
        SELECT s.stream, s.rebuilds_pending FROM headrace.stream s
        WHERE s.rebuilds_pending IS NOT NULL AND (p_streams IS NULL OR s.stream = ANY (p_streams)) AND s.stream <> ALL (v_paused)
        ORDER BY s.stream
    LOOP
        -- Only whether there is one; stream_rebuilds counts them.
        EXECUTE format('SELECT %s(p_patient => $1, p_most => 1)', v_pending) INTO v_waiting USING p_patient;
        IF v_waiting > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$_$;

-- Name: stream_read(text, integer, integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stream_read(p_stream text, p_shard integer, p_limit integer) RETURNS headrace.change_log[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    s headrace.stream;
    c headrace.stream_cursor;
    v_opened boolean := false;
    v_scanned bigint;
    v_committed xid8[];
    v_low xid8;
    v_high xid8;
    v_batch headrace.change_log[];
    v_cut bigint;
    v_width bigint;
    v_passed bigint;
    v_last bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'streams are read in READ COMMITTED transactions, not %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    SELECT * INTO c FROM headrace.stream_cursor k WHERE k.stream = p_stream AND k.shard = p_shard FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF c.system_identifier <> (SELECT system_identifier FROM pg_control_system())
        OR c.database_name <> current_database() OR pg_snapshot_xmax(c.prev) > pg_snapshot_xmax(pg_current_snapshot())
    THEN
        RAISE EXCEPTION 'stream % stands in another cluster or in the future (restored or cloned database?); run: headrace streams rebase %', p_stream, p_stream
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF c.state = 'lost' THEN
        RAISE EXCEPTION 'stream % was idle for too long and lost its place; run: headrace streams rebase %', p_stream, p_stream
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT * INTO s FROM headrace.stream t WHERE t.stream = p_stream;
    IF c.cur IS NULL THEN
        SELECT pg_current_snapshot() INTO c.cur;
        v_opened := true;
    END IF;
    v_committed := ARRAY(SELECT x FROM pg_snapshot_xip(c.prev) x WHERE pg_visible_in_snapshot(x, c.cur));
    v_low := pg_snapshot_xmax(c.prev);
    v_high := pg_snapshot_xmax(c.cur);

    IF v_opened THEN
        -- OFFSET 0 keeps the planner from computing min and max by walking the index on pos through the whole log.
        SELECT count(*), count(*) FILTER (WHERE w.ours), coalesce(min(w.pos) FILTER (WHERE w.ours) - 1, 0), coalesce(max(w.pos) FILTER (WHERE w.ours), 0), max(w.width) FILTER (WHERE w.ours)
        INTO v_scanned, c.window_rows, c.pos, c.last_pos, c.window_widest
        FROM (
            SELECT u.pos, u.width, u.source = ANY (s.sources)
                AND (s.shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, s.shards) = p_shard) AS ours
            FROM (
                SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause) AS width
                FROM headrace.change_log l WHERE l.xid = ANY (v_committed)
                UNION ALL
                SELECT l.pos, l.xid, l.source, l.entity_id, headrace.change_width(l.entity_id, l.scope, l.data, l.cause)
                FROM headrace.change_log l WHERE l.xid >= v_low AND l.xid < v_high
            ) u
            WHERE pg_visible_in_snapshot(u.xid, c.cur)
            OFFSET 0
        ) w;
    END IF;

    c.window_left := CASE WHEN v_opened THEN c.window_rows ELSE coalesce(c.window_left, c.window_rows) END;
    IF c.window_rows > 0 AND coalesce(c.window_widest, 67108864) * p_limit > 67108864 THEN
        SELECT t.last_pos, t.first_width INTO v_cut, v_width FROM headrace.changes_that_fit(s.sources, s.shards, c, v_committed, p_limit) t;
    END IF;
    v_last := coalesce(v_cut, c.last_pos);

    IF c.window_rows = 0 THEN
        v_batch := '{}';
        IF v_scanned = 0 THEN
            RETURN v_batch;  -- nothing at all: leave the cursor, write no WAL
        END IF;
    ELSIF v_width > 134217728 THEN
        -- Any processing would take as much memory again, so it is kept without its wide parts.
        INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, error_code, error)
        SELECT
            p_stream, p_shard, ROW(l.pos, l.xid, l.changed_at, l.source, l.op, left(l.entity_id, 200), left(l.scope, 200), NULL, left(l.cause, 200))::headrace.change_log,
            l.pos, left(l.entity_id, 200), 'P0H01',
            format('the change takes %s bytes, more than can be handed on; it is kept cut: count again what it is of, then discard it', v_width)
        FROM headrace.change_log l WHERE l.pos = v_cut;
        v_batch := '{}';
    ELSIF c.window_rows <= 4 * p_limit THEN
        SELECT array_agg(w.change ORDER BY w.pos) INTO v_batch FROM (
            SELECT u.pos, u.change FROM (
                -- The cut must be here, before whole changes are copied; + 0 keeps the planner off the index on pos.
                SELECT l.pos, l.xid, l.source, l.entity_id, l AS change FROM headrace.change_log l
                WHERE l.xid = ANY (v_committed) AND l.pos + 0 <= v_last
                UNION ALL
                SELECT l.pos, l.xid, l.source, l.entity_id, l AS change FROM headrace.change_log l
                WHERE l.xid >= v_low AND l.xid < v_high AND l.pos + 0 <= v_last
                OFFSET 0
            ) u
            WHERE u.pos > c.pos AND pg_visible_in_snapshot(u.xid, c.cur) AND u.source = ANY (s.sources)
                AND (s.shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, s.shards) = p_shard)
            ORDER BY u.pos LIMIT p_limit
        ) w;
    ELSE
        -- A large window is mostly one bulk transaction, dense in pos: scan by pos.
        SELECT array_agg(w.change ORDER BY w.pos) INTO v_batch FROM (
            SELECT l.pos, l AS change FROM headrace.change_log l
            WHERE l.pos > c.pos AND l.pos <= v_last
                AND (l.xid = ANY (v_committed) OR l.xid >= v_low AND l.xid < v_high)
                AND pg_visible_in_snapshot(l.xid, c.cur) AND l.source = ANY (s.sources)
                AND (s.shards = 1 OR mod(hashtextextended(coalesce(l.entity_id, ''), 0) & 9223372036854775807, s.shards) = p_shard)
            ORDER BY l.pos LIMIT p_limit
        ) w;
    END IF;
    v_batch := coalesce(v_batch, '{}');

    v_passed := CASE WHEN v_width > 134217728 THEN 1 ELSE cardinality(v_batch) END;
    v_last := CASE WHEN v_cut IS NULL THEN (v_batch[cardinality(v_batch)]).pos ELSE v_cut END;

    IF v_cut IS NULL AND cardinality(v_batch) < p_limit OR v_last >= c.last_pos THEN
        UPDATE headrace.stream_cursor k SET
            prev = c.cur, cur = NULL, pos = 0, last_pos = NULL, window_rows = NULL, window_left = NULL, window_widest = NULL,
            changes_applied = k.changes_applied + v_passed, advanced_at = clock_timestamp()
        WHERE k.stream = p_stream AND k.shard = p_shard;
    ELSE
        UPDATE headrace.stream_cursor k SET
            cur = c.cur, pos = v_last, last_pos = c.last_pos, window_rows = c.window_rows,
            window_left = greatest(c.window_left - v_passed, 0), window_widest = c.window_widest,
            changes_applied = k.changes_applied + v_passed, advanced_at = clock_timestamp()
        WHERE k.stream = p_stream AND k.shard = p_shard;
    END IF;
    RETURN v_batch;
END
$$;

-- Name: stream_rebuild(text, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stream_rebuild(p_stream text, p_patient boolean DEFAULT false) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    v_step text;
    v_done integer;
BEGIN
    SELECT s.rebuild_step INTO v_step FROM headrace.stream s WHERE s.stream = p_stream;
    IF v_step IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT %s(p_patient => $1)', v_step) INTO v_done USING p_patient;
    RETURN v_done;
END
$_$;

-- Name: stream_rebuild_items(text, text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stream_rebuild_items(p_stream text, p_items text[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    v_rebuild text;
    v_done integer;
BEGIN
    SELECT s.rebuild_items INTO v_rebuild FROM headrace.stream s WHERE s.stream = p_stream;
    IF v_rebuild IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT %s($1)', v_rebuild) INTO v_done USING p_items;
    RETURN v_done;
END
$_$;

-- Name: stream_rebuild_pick(text, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stream_rebuild_pick(p_stream text, p_patient boolean DEFAULT false) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    v_pick text;
    v_items text[];
BEGIN
    SELECT s.rebuild_pick INTO v_pick FROM headrace.stream s WHERE s.stream = p_stream;
    IF v_pick IS NULL THEN
        RETURN '{}';
    END IF;
    EXECUTE format('SELECT %s(p_patient => $1)', v_pick) INTO v_items USING p_patient;
    RETURN coalesce(v_items, '{}');
END
$_$;

-- Name: stream_rebuild_put_off(text, text[], text, text, double precision); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stream_rebuild_put_off(p_stream text, p_items text[], p_code text, p_error text, p_seconds double precision DEFAULT 0) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    v_put_off text;
BEGIN
    SELECT s.rebuild_put_off INTO v_put_off FROM headrace.stream s WHERE s.stream = p_stream;
    IF v_put_off IS NOT NULL THEN
        EXECUTE format('SELECT %s($1, $2, $3, $4)', v_put_off) USING p_items, p_code, p_error, p_seconds;
    END IF;
END
$_$;

-- Name: stream_rebuilds(text[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stream_rebuilds(p_streams text[] DEFAULT NULL::text[], p_patient boolean DEFAULT false) RETURNS TABLE(stream text, waiting bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    v_pending text;
BEGIN
    FOR stream, v_pending IN
        SELECT s.stream, s.rebuilds_pending FROM headrace.stream s
        WHERE s.rebuilds_pending IS NOT NULL AND (p_streams IS NULL OR s.stream = ANY (p_streams)) ORDER BY s.stream
    LOOP
        EXECUTE format('SELECT %s(p_patient => $1)', v_pending) INTO waiting USING p_patient;
        RETURN NEXT;
    END LOOP;
END
$_$;

-- Name: stream_step(text, integer, integer, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stream_step(p_stream text, p_shard integer, p_limit integer, p_isolate boolean DEFAULT false, OUT status text, OUT changes integer, OUT dead_letters integer, OUT more boolean) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    s headrace.stream;
    v_batch headrace.change_log[];
    v_waiting headrace.change_log[];
    v_change headrace.change_log;
    v_code text;
    v_message text;
BEGIN
    dead_letters := 0;
    SELECT * INTO s FROM headrace.stream t WHERE t.stream = p_stream;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no stream %', p_stream USING ERRCODE = 'no_data_found';
    END IF;
    v_batch := headrace.stream_read(p_stream, p_shard, least(greatest(p_limit, 1), 100000));
    status := CASE WHEN v_batch IS NULL THEN 'busy' WHEN v_batch = '{}' THEN 'idle' ELSE 'applied' END;
    changes := coalesce(cardinality(v_batch), 0);
    more := coalesce((SELECT k.cur IS NOT NULL FROM headrace.stream_cursor k WHERE k.stream = p_stream AND k.shard = p_shard), false);
    IF changes = 0 THEN
        RETURN;
    END IF;

    IF s.ordered AND EXISTS (SELECT FROM headrace.dead_letter d WHERE d.stream = p_stream) THEN
        SELECT array_agg(b ORDER BY b.pos) FILTER (WHERE d.waits), coalesce(array_agg(b ORDER BY b.pos) FILTER (WHERE NOT d.waits), '{}')
        INTO v_waiting, v_batch
        FROM unnest(v_batch) b CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM headrace.dead_letter d WHERE d.stream = p_stream AND hashtextextended(d.entity_id, 0) = hashtextextended(b.entity_id, 0) AND d.entity_id = b.entity_id) AS waits
        ) d;
        INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, status, error_code, error, attempts)
        SELECT p_stream, p_shard, w, w.pos, w.entity_id, 'waiting', '00000', 'waits behind an earlier change of the same entity', 0
        FROM unnest(v_waiting) w;
    END IF;

    IF NOT p_isolate THEN
        EXECUTE format('SELECT %s($1)', s.handler) USING v_batch;
        RETURN;
    END IF;
    FOREACH v_change IN ARRAY v_batch LOOP
        IF s.ordered AND EXISTS (SELECT FROM headrace.dead_letter d
            WHERE d.stream = p_stream AND hashtextextended(d.entity_id, 0) = hashtextextended(v_change.entity_id, 0) AND d.entity_id = v_change.entity_id)
        THEN
            INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, status, error_code, error, attempts)
            VALUES (p_stream, p_shard, v_change, v_change.pos, v_change.entity_id, 'waiting', '00000', 'waits behind an earlier change of the same entity', 0);
            CONTINUE;
        END IF;
        BEGIN
            EXECUTE format('SELECT %s($1)', s.handler) USING ARRAY[v_change];
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            IF NOT headrace.is_data_error(v_code, v_message) THEN
                RAISE;
            END IF;
            INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, error_code, error, next_try_at)
            VALUES (p_stream, p_shard, v_change, v_change.pos, v_change.entity_id, v_code, left(v_message, 2000), headrace.dead_letter_next_try(1));
            dead_letters := dead_letters + 1;
        END;
    END LOOP;
END
$_$;

-- Name: take_moved_messages(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.take_moved_messages(p_campaign_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_held constant uuid[] := ARRAY(
        SELECT DISTINCT o.campaign_id FROM headrace.stg_send_queue() q INNER JOIN headrace.message_outcome o ON o.message_id = q.id::text
        WHERE q.campaign_id = p_campaign_id AND o.campaign_id <> p_campaign_id);
BEGIN
    PERFORM headrace.lock_campaigns(v_held);
    DELETE FROM headrace.message_outcome o USING headrace.stg_send_queue() q
    WHERE q.campaign_id = p_campaign_id AND o.message_id = q.id::text AND o.campaign_id <> p_campaign_id AND o.campaign_id = ANY (v_held);
    PERFORM headrace.store_counts(v_held, false);
    PERFORM headrace.refresh_documents(v_held);
END
$$;

-- Name: take_webhook_items(jsonb, bigint, bigint, smallint[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.take_webhook_items(p_items jsonb, p_statuses bigint, p_messages bigint, p_buckets smallint[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_locked integer;
    v_new record;
    v_item jsonb;
    v_stored record;
    v_code text;
    v_error text;
    v_statuses bigint := 0;
    v_messages bigint := 0;
    v_new_statuses bigint := 0;
    v_new_messages bigint := 0;
    v_refused jsonb := '[]';
    v_refused_statuses bigint := 0;
    v_refused_messages bigint := 0;
BEGIN
    v_locked := headrace.lock_webhook_buckets(p_buckets);
    BEGIN
        v_new := headrace.new_webhook_items(p_items);
        v_stored := headrace.store_webhook_items(v_new.items);
        IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) 'pg_catalog, headrace, pg_temp' THEN
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, headrace, pg_temp', false);
        END IF;
        v_statuses := v_stored.statuses;
        v_messages := v_stored.messages;
        v_new_statuses := v_new.statuses;
        v_new_messages := v_new.messages;
    EXCEPTION WHEN OTHERS OR assert_failure THEN
        GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE;
        IF headrace.is_passing_error(v_code) THEN
            RAISE;
        END IF;
        -- At least one item is at fault: all are tried one by one.
        FOR v_item IN SELECT i FROM jsonb_array_elements(p_items) i LOOP
            BEGIN
                v_new := headrace.new_webhook_items(jsonb_build_array(v_item));
                v_stored := headrace.store_webhook_items(v_new.items);
                IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) 'pg_catalog, headrace, pg_temp' THEN
                    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, headrace, pg_temp', false);
                END IF;
                v_statuses := v_statuses + v_stored.statuses;
                v_messages := v_messages + v_stored.messages;
                v_new_statuses := v_new_statuses + v_new.statuses;
                v_new_messages := v_new_messages + v_new.messages;
            EXCEPTION WHEN OTHERS OR assert_failure THEN
                GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_error = MESSAGE_TEXT;
                IF headrace.is_passing_error(v_code) THEN
                    RAISE;
                END IF;
                v_refused := v_refused || (v_item || jsonb_build_object('problem', v_code || ' ' || left(v_error, 400)));
                v_refused_statuses := v_refused_statuses + (v_item ->> 'kind' = 'status')::integer;
                v_refused_messages := v_refused_messages + (v_item ->> 'kind' = 'message')::integer;
            END;
        END LOOP;
    END;
    RETURN jsonb_build_object(
        'statuses', jsonb_build_object(
            'stored', v_statuses, 'repeated', p_statuses - v_refused_statuses - v_new_statuses, 'suppressed', v_new_statuses - v_statuses),
        'messages', jsonb_build_object(
            'stored', v_messages, 'repeated', p_messages - v_refused_messages - v_new_messages, 'suppressed', v_new_messages - v_messages),
        'refused', v_refused);
END
$$;

-- Name: template_key(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.template_key(p_name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN pg_catalog.octet_length(p_name) OPERATOR(pg_catalog.>) 1000
            THEN pg_catalog.substr(p_name, 1, 1000) OPERATOR(pg_catalog.||) '...'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.md5(p_name)
        ELSE p_name
    END
$$;

-- Name: template_md5(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.template_md5(p_key text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (p_key IS NULL) THEN '00000000-0000-0000-0000-000000000000'::uuid WHEN (octet_length(p_key) > 1000) THEN ("right"(p_key, 32))::uuid ELSE (md5(p_key))::uuid END;

-- Name: template_stats(text, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.template_stats(p_template_name text DEFAULT NULL::text, p_from timestamp with time zone DEFAULT NULL::timestamp with time zone, p_to timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(template_name text, campaigns bigint, total bigint, sent bigint, delivered bigint, read bigint, replied bigint, failed bigint, failed_queue bigint, failed_delivery bigint, delivered_rate numeric, read_rate numeric, replied_rate numeric, pending bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET random_page_cost TO '1.1'
    SET jit TO 'off'
    AS $$
BEGIN
    IF p_from > p_to THEN
        RAISE EXCEPTION 'p_from (%) is after p_to (%)', p_from, p_to USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    SELECT
        coalesce(t.template_name, p_template_name), coalesce(t.campaigns, 0),
        coalesce(t.total, 0), coalesce(t.sent, 0), coalesce(t.delivered, 0), coalesce(t.read, 0), coalesce(t.replied, 0),
        coalesce(t.failed, 0), coalesce(t.failed_queue, 0), coalesce(t.failed - t.failed_queue, 0),
        round(t.delivered::numeric / nullif(t.sent, 0), 6), round(t.read::numeric / nullif(t.delivered, 0), 6),
        round(t.replied::numeric / nullif(t.delivered, 0), 6), w.pending
    FROM (
        SELECT count(*) AS pending FROM headrace.stg_campaigns() c LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
        WHERE (p_from IS NULL OR c.created_at >= p_from) AND (p_to IS NULL OR c.created_at < p_to)
            AND coalesce(k.state, 'pending') NOT IN ('live', 'settling', 'frozen', 'amended')
    ) w
    LEFT JOIN (
        SELECT
            s.template_name, count(*) AS campaigns, sum(s.total)::bigint AS total, sum(s.sent)::bigint AS sent, sum(s.delivered)::bigint AS delivered,
            sum(s.read)::bigint AS read, sum(s.replied)::bigint AS replied, sum(s.failed)::bigint AS failed, sum(s.failed_queue)::bigint AS failed_queue
        FROM headrace.stg_campaigns() c
        INNER JOIN headrace.campaign k ON k.campaign_id = c.campaign_id AND k.state IN ('live', 'settling', 'frozen', 'amended')
        INNER JOIN headrace.campaign_template_stats s ON s.campaign_id = c.campaign_id
        WHERE (p_from IS NULL OR c.created_at >= p_from) AND (p_to IS NULL OR c.created_at < p_to)
            AND (p_template_name IS NULL OR s.template_name = p_template_name)
        GROUP BY s.template_name
    ) t ON true
    ORDER BY t.template_name COLLATE "C";
EXCEPTION WHEN OTHERS THEN
    PERFORM headrace.raise_unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
    RAISE;
END
$$;

-- Name: templates_json(bigint); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.templates_json(p_templates bigint) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT CASE
        WHEN p_templates > headrace.most_listed_templates()
            THEN jsonb_build_object('templates', p_templates, 'templates_left_out', p_templates - headrace.most_listed_templates())
        ELSE '{}'
    END
$$;

-- Name: touch_day(uuid, text[], bigint); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.touch_day(p_campaign_id uuid, p_assets text[], p_rows bigint DEFAULT 1) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT headrace.record_activity(p_assets, ARRAY[(c.created_at AT TIME ZONE 'UTC')::date], ARRAY[p_rows])
    FROM headrace.stg_campaigns() c
    WHERE c.campaign_id = p_campaign_id AND c.created_at >= '0001-01-02 UTC' AND c.created_at < '9999-12-31 UTC'
$$;

-- Name: touched_messages(headrace.change_log[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.touched_messages(p_changes headrace.change_log[], OUT messages text[], OUT campaigns uuid[]) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET random_page_cost TO '1.1'
    SET jit TO 'off'
    AS $$
DECLARE
    v_queue text[];
    v_left headrace.change_log[];
    v_status_ids text[];
    v_messages headrace.change_log[];
    v_by_status text[];
    v_unsent text[];
    v_neighbours text[];
    v_owners text[];
    v_referred text[];
    v_more uuid[];
BEGIN
    -- One pass over the batch; each search below then runs only on the changes it needs.
    SELECT
        array_agg(c.entity_id) FILTER (WHERE c.source = 'send_queue' AND c.op NOT IN ('T', 'X')),
        array_agg(c) FILTER (WHERE c.source = 'send_queue' AND c.op IN ('U', 'D')),
        array_agg(c.data -> 'new' ->> 'whatsapp_message_id') FILTER (WHERE c.source = 'message_status_logs' AND c.op IN ('I', 'U'))
            || array_agg(c.data -> 'old' ->> 'whatsapp_message_id') FILTER (WHERE c.source = 'message_status_logs' AND c.op IN ('U', 'D')),
        array_agg(c) FILTER (WHERE c.source = 'messages' AND c.op NOT IN ('T', 'X')),
        array_agg(DISTINCT c.scope::uuid) FILTER (WHERE c.source = 'send_queue' AND c.scope IS NOT NULL)
    INTO v_queue, v_left, v_status_ids, v_messages, campaigns
    FROM unnest(p_changes) c;

    IF v_status_ids IS NOT NULL THEN
        SELECT
            array_agg(q.id::text), array_agg(q.id::text) FILTER (WHERE q.status IS DISTINCT FROM 'sent'),
            array_agg(DISTINCT q.campaign_id)
        INTO v_by_status, v_unsent, v_more
        FROM (SELECT DISTINCT id FROM unnest(v_status_ids) id WHERE id <> '') k
        INNER JOIN headrace.stg_send_queue() q ON q.whatsapp_message_id = k.id;
        campaigns := campaigns || v_more;
    END IF;

    IF v_queue IS NOT NULL OR v_unsent IS NOT NULL THEN
        SELECT array_agg(p.id), array_agg(DISTINCT p.campaign_id) INTO v_neighbours, v_more
        FROM (
            SELECT q.user_phone, q.whatsapp_number_id, q.at, q.id
            FROM unnest(v_queue || v_unsent) k (id) INNER JOIN headrace.stg_send_queue() q ON q.id = k.id::uuid
            UNION
            SELECT
                c.data #>> '{old,user_phone}', c.data #>> '{old,whatsapp_number_id}',
                coalesce(c.data #>> '{old,sent_at}', c.data #>> '{old,created_at}')::timestamptz, (c.data #>> '{old,id}')::uuid
            FROM unnest(v_left) c
        ) place
        CROSS JOIN LATERAL (
            SELECT n.id::text AS id, n.campaign_id, n.at FROM headrace.stg_send_queue() n
            WHERE n.user_phone = place.user_phone AND n.whatsapp_number_id = place.whatsapp_number_id
                AND place.user_phone <> '' AND place.whatsapp_number_id <> ''
                AND (n.at, n.id) < (place.at, place.id)
                AND (n.status = 'sent' OR EXISTS (
                    SELECT FROM headrace.stg_message_status_logs() l
                    WHERE l.whatsapp_message_id = n.whatsapp_message_id AND n.whatsapp_message_id <> '' AND headrace.status_bits(l.status) & 1 > 0))
            ORDER BY n.at DESC, n.id DESC LIMIT 1
        ) p
        -- A message at this place can only take over later replies that are within the predecessor's window.
        WHERE EXISTS (
            SELECT FROM headrace.stg_incoming_messages() m
            WHERE m.user_phone = place.user_phone AND m.whatsapp_number_id = place.whatsapp_number_id
                AND m.created_at > place.at AND coalesce(m.context_message_id, '') = ''
                AND extract(EPOCH FROM m.created_at) - extract(EPOCH FROM p.at) <= headrace.reply_window());
        campaigns := campaigns || v_more;
    END IF;

    IF v_messages IS NOT NULL THEN
        SELECT array_agg(o.id), array_agg(DISTINCT o.campaign_id) INTO v_owners, v_more
        FROM (
            SELECT DISTINCT k.phone, k.number, k.at
            FROM unnest(v_messages) c
            CROSS JOIN LATERAL (
                SELECT c.data #>> '{new,user_phone}' AS phone, c.data #>> '{new,whatsapp_number_id}' AS number,
                    (c.data #>> '{new,created_at}')::timestamptz AS at
            ) k
            WHERE k.at IS NOT NULL AND k.phone <> '' AND k.number <> ''
        ) m
        CROSS JOIN LATERAL (
            SELECT n.id::text AS id, n.campaign_id FROM headrace.stg_send_queue() n
            WHERE n.user_phone = m.phone AND n.whatsapp_number_id = m.number AND n.at < m.at
                AND (n.status = 'sent' OR EXISTS (
                    SELECT FROM headrace.stg_message_status_logs() l
                    WHERE l.whatsapp_message_id = n.whatsapp_message_id AND n.whatsapp_message_id <> '' AND headrace.status_bits(l.status) & 1 > 0))
            ORDER BY n.at DESC, n.id DESC LIMIT 1
        ) o;
        campaigns := campaigns || v_more;
        -- The message it replied to before it left may have a successor by now: take all whose window reaches it.
        SELECT v_owners || array_agg(n.id::text), array_agg(DISTINCT n.campaign_id) INTO v_owners, v_more
        FROM unnest(v_messages) c
        CROSS JOIN LATERAL (
            SELECT c.data #>> '{old,user_phone}' AS phone, c.data #>> '{old,whatsapp_number_id}' AS number,
                (c.data #>> '{old,created_at}')::timestamptz AS at
        ) m
        INNER JOIN headrace.stg_send_queue() n ON n.user_phone = m.phone AND n.whatsapp_number_id = m.number AND n.at < m.at
        WHERE m.phone <> '' AND m.number <> '' AND extract(EPOCH FROM m.at) - extract(EPOCH FROM n.at) <= headrace.reply_window();
        campaigns := campaigns || v_more;
        SELECT array_agg(q.id::text) INTO v_referred
        FROM unnest(v_messages) c
        CROSS JOIN LATERAL (VALUES (c.data #>> '{old,context_message_id}'), (c.data #>> '{new,context_message_id}')) k (id)
        INNER JOIN headrace.stg_send_queue() q ON q.whatsapp_message_id = k.id
        WHERE k.id <> '';
    END IF;

    -- In id order, in which the fold goes through the indexes: this saves it a tenth of its time.
    messages := ARRAY(
        SELECT DISTINCT u COLLATE "C" FROM unnest(v_queue || v_by_status || v_neighbours || v_owners || v_referred) u ORDER BY 1
    );
END
$$;

-- Name: unpack_hours(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.unpack_hours(p_campaign_id uuid) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    WITH packed AS (
        DELETE FROM headrace.campaign_frozen_hours f WHERE f.campaign_id = p_campaign_id RETURNING f.*
    )
    INSERT INTO headrace.campaign_hour (campaign_id, hour, sent, delivered, read, replied)
    SELECT p.campaign_id, u.hour, u.sent, u.delivered, u.read, u.replied
    FROM packed p CROSS JOIN LATERAL unnest(p.hours, p.sent, p.delivered, p.read, p.replied) u (hour, sent, delivered, read, replied);
$$;

-- Name: unreadable(text[], text, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.unreadable(p_sources text[], p_state text, p_message text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT CASE WHEN p_state LIKE '42%' OR p_state IN ('HR001', '3F000', '0A000') THEN coalesce(
        (SELECT p.what || '; run: ' || p.remedy FROM headrace.source_problems(p_sources) p LIMIT 1),
        CASE WHEN p_state = 'HR001' THEN p_message END,
        CASE
            WHEN p_state IN ('42703', '42P01', '42P13', '42804', '42883', '42501', '3F000')
                THEN 'a table of the application can no longer be read: ' || p_message || '; see dbt_like_sql/sources.yml, then run: headrace migrate'
        END) END
$$;

-- Name: validate_default_fence(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.validate_default_fence() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET lock_timeout TO '80ms'
    AS $$
DECLARE
    v_name text;
BEGIN
    SELECT conname INTO v_name FROM pg_constraint
    WHERE conrelid = 'headrace.change_log_default'::regclass AND starts_with(conname::text, 'fence_');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('ALTER TABLE headrace.change_log_default VALIDATE CONSTRAINT %I', v_name);
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RETURN false;
END
$$;

-- Name: webhook_items(jsonb, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.webhook_items(p_body jsonb, p_any_type boolean DEFAULT false) RETURNS TABLE(path text, kind text, item jsonb, whatsapp_number_id text, problem text, notice boolean, message_id text, status text, at timestamp with time zone, user_phone text, reference text, errors jsonb)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_ours boolean := coalesce(p_body ->> 'object' = 'whatsapp_business_account', true);
    v_entries jsonb;  -- each with its changes
    v_entry jsonb;
    v_changes jsonb;
    v_enveloped boolean;
    v_first integer;  -- -2: the body may be a bare change; -1: a bare entry
    v_found boolean := false;
BEGIN
    kind := 'part';
    path := '';
    item := coalesce(p_body, 'null');
    notice := false;
    problem := CASE
        WHEN jsonb_typeof(p_body) IS DISTINCT FROM 'object' THEN 'the body is not a JSON object'
        WHEN NOT v_ours THEN format('object is %s, not "whatsapp_business_account"', left((p_body -> 'object')::text, 80))
        WHEN jsonb_typeof(p_body -> 'entry') <> 'array' THEN 'no envelope: entry is not an array'
        WHEN p_body -> 'entry' = '[]' THEN 'no envelope: entry is empty'
    END;
    IF problem IS NOT NULL THEN
        RETURN NEXT;
        v_entries := '[]';
    ELSE
        v_entries := coalesce(p_body -> 'entry', '[]');
    END IF;

    v_first := CASE WHEN p_body ? 'value' THEN -2 WHEN p_body ? 'changes' THEN -1 ELSE 0 END;
    FOR n IN v_first .. jsonb_array_length(v_entries) - 1 LOOP
        CONTINUE WHEN n = -1 AND NOT p_body ? 'changes';
        v_enveloped := n >= 0;
        v_entry := CASE WHEN v_enveloped THEN v_entries -> n ELSE p_body END;
        v_changes := CASE
            WHEN n = -2 THEN jsonb_build_array(p_body)
            WHEN jsonb_typeof(v_entry -> 'changes') = 'array' THEN v_entry -> 'changes'
            ELSE '[]'
        END;
        IF v_changes = '[]' THEN
            path := CASE WHEN v_enveloped THEN format('entry[%s]', n) ELSE '' END;
            item := v_entry;
            notice := false;
            problem := 'no envelope: changes is not an array with something in it';
            RETURN NEXT;
        END IF;
        FOR m IN 0 .. jsonb_array_length(v_changes) - 1 LOOP
            path := CASE WHEN v_enveloped THEN format('entry[%s].changes[%s]', n, m) WHEN n = -1 THEN format('changes[%s]', m) ELSE '' END;
            item := v_changes -> m;
            problem := CASE
                WHEN jsonb_typeof(item) <> 'object' THEN 'a change that is not a JSON object'
                WHEN item ->> 'field' <> 'messages' THEN format('field is %s, not "messages"', left((item -> 'field')::text, 80))
                WHEN jsonb_typeof(item -> 'value') IS DISTINCT FROM 'object' THEN 'no envelope: value is not a JSON object'
            END;
            IF problem IS NULL THEN
                RETURN QUERY SELECT * FROM headrace.webhook_value_items(
                    CASE WHEN path = '' THEN 'value' ELSE path || '.value' END, item -> 'value', v_enveloped, p_any_type);
                v_found := v_found OR FOUND;
            ELSE
                notice := v_enveloped AND headrace.is_other_webhook_field(item ->> 'field');
                RETURN NEXT;
            END IF;
        END LOOP;
    END LOOP;

    IF p_body ?| ARRAY['statuses', 'messages', 'errors'] THEN
        RETURN QUERY SELECT * FROM headrace.webhook_value_items('', p_body, false, p_any_type);
        v_found := v_found OR EXISTS (
            SELECT FROM unnest(ARRAY['statuses', 'messages', 'errors']) k (name)
            WHERE jsonb_typeof(p_body -> k.name) = 'array' AND p_body -> k.name <> '[]');
    END IF;
    IF v_ours AND NOT v_found AND jsonb_typeof(p_body) = 'object' AND NOT p_body ? 'entry' THEN
        path := '';
        item := p_body;
        notice := false;
        problem := 'no envelope: entry[].changes[].value is missing';
        RETURN NEXT;
    END IF;
END
$$;

-- Name: webhook_notice(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.webhook_notice(p_item jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE (p_item ->> 'type'::text) WHEN 'system'::text THEN 'a notice of the system, not a message of the contact'::text WHEN 'request_welcome'::text THEN 'the contact opened the chat and wrote nothing yet'::text WHEN 'edit'::text THEN 'an edit of an earlier message'::text WHEN 'revoke'::text THEN 'an earlier message was deleted'::text WHEN 'reaction'::text THEN CASE WHEN (COALESCE((p_item #>> '{reaction,emoji}'::text[]), ''::text) = ''::text) THEN 'a reaction was taken back'::text ELSE NULL::text END WHEN 'interactive'::text THEN CASE WHEN (((p_item #>> '{interactive,type}'::text[]) = 'call_permission_reply'::text) AND ((p_item #>> '{interactive,call_permission_reply,response_source}'::text[]) <> 'user_action'::text)) THEN 'permission to call, given by itself'::text ELSE NULL::text END ELSE NULL::text END;

-- Name: webhook_reject_body(text, jsonb, text, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.webhook_reject_body(p_path text, p_item jsonb, p_number_id text, p_sender text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
    SELECT CASE
        WHEN p_path = '' THEN p_item
        WHEN p_path ~ E'^entry\\[\\d+\\]$' THEN jsonb_build_object('entry', jsonb_build_array(p_item))
        WHEN p_path ~ E'^entry\\[\\d+\\]\\.changes\\[\\d+\\]$'
            THEN jsonb_build_object('entry', jsonb_build_array(jsonb_build_object('changes', jsonb_build_array(p_item))))
        WHEN p_path LIKE 'entry[%' THEN jsonb_build_object('entry', jsonb_build_array(jsonb_build_object(
            'changes', jsonb_build_array(jsonb_build_object('field', 'messages', 'value', v.value)))))
        ELSE v.value
    END
    FROM (
        SELECT CASE
            WHEN p_path ~ E'\\.value$' THEN p_item
            ELSE '{"statuses": []}' || jsonb_build_object(
                regexp_replace(p_path, E'^.*\\.|\\[\\d+\\]$', '', 'g'),
                CASE WHEN p_path ~ E'\\]$' THEN jsonb_build_array(p_item) ELSE p_item END,
                'metadata', jsonb_build_object('phone_number_id', p_number_id))
                || CASE WHEN p_sender IS NULL THEN '{}' ELSE jsonb_build_object('contacts', jsonb_build_array(jsonb_build_object('wa_id', p_sender))) END
        END AS value
    ) v
$_$;

-- Name: webhook_sender(jsonb, jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.webhook_sender(p_item jsonb, p_contacts jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT CASE
        WHEN jsonb_typeof(p_item -> 'group_id') = 'string' AND p_item ->> 'group_id' <> '' THEN p_item ->> 'group_id'
        WHEN jsonb_typeof(p_item -> 'from') = 'string' AND p_item ->> 'from' <> '' THEN p_item ->> 'from'
        ELSE (
            SELECT s.name
            FROM (
                SELECT c.contact, count(*) OVER () AS contacts
                FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p_contacts) = 'array' THEN p_contacts ELSE '[]' END) c (contact)
                UNION ALL
                SELECT NULL, 0
            ) c
            CROSS JOIN LATERAL (VALUES
                (1, c.contact -> 'wa_id'), (2, p_item -> 'from_user_id'), (3, c.contact -> 'user_id'),
                (4, p_item -> 'from_parent_user_id'), (5, c.contact -> 'parent_user_id')
            ) v (rank, value)
            CROSS JOIN LATERAL (SELECT CASE WHEN jsonb_typeof(v.value) = 'string' THEN nullif(v.value #>> '{}', '') END AS name) s
            WHERE s.name IS NOT NULL AND (
                c.contact IS NULL OR c.contact -> 'user_id' = p_item -> 'from_user_id'
                OR (c.contacts = 1 AND NOT coalesce((p_item -> 'from_user_id') <> (c.contact -> 'user_id'), false)))
            ORDER BY v.rank LIMIT 1
        )
    END
$$;

-- Name: webhook_time_problem(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.webhook_time_problem(p_timestamp jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (COALESCE((p_timestamp #>> '{}'::text[]), ''::text) = ''::text) THEN 'no timestamp'::text WHEN ((jsonb_typeof(p_timestamp) <> ALL (ARRAY['string'::text, 'number'::text])) OR ((p_timestamp #>> '{}'::text[]) !~ '^[0-9]{1,10}$'::text)) THEN (('timestamp '::text || "left"((p_timestamp)::text, 80)) || ' is not in unix seconds'::text) ELSE NULL::text END;

-- Name: webhook_unknown_type(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.webhook_unknown_type(p_item jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((p_item ->> 'type'::text) = ANY (ARRAY['text'::text, 'image'::text, 'audio'::text, 'voice'::text, 'video'::text, 'document'::text, 'sticker'::text, 'location'::text, 'contacts'::text, 'button'::text, 'interactive'::text, 'order'::text, 'reaction'::text])) THEN NULL::text WHEN (COALESCE((p_item ->> 'type'::text), ''::text) = ''::text) THEN CASE WHEN ((p_item ?| ARRAY['text'::text, 'image'::text, 'audio'::text, 'voice'::text, 'video'::text, 'document'::text, 'sticker'::text, 'location'::text, 'contacts'::text, 'button'::text, 'interactive'::text, 'order'::text, 'reaction'::text]) AND (NOT (p_item ? 'system'::text))) THEN NULL::text ELSE 'no type'::text END WHEN ((p_item ->> 'type'::text) = 'unsupported'::text) THEN CASE WHEN ((p_item #>> '{unsupported,type}'::text[]) = ANY (ARRAY['gif'::text, 'group_invite'::text, 'image'::text, 'audio'::text, 'video'::text, 'document'::text, 'sticker'::text, 'link_preview'::text, 'location'::text, 'order'::text, 'poll_creation'::text, 'product'::text])) THEN NULL::text ELSE (('type "unsupported"'::text || COALESCE(((' ('::text || "left"((p_item #>> '{unsupported,type}'::text[]), 80)) || ')'::text), ''::text)) || ': it is not said that the contact wrote something'::text) END ELSE (('type '::text || "left"(((p_item -> 'type'::text))::text, 80)) || ' is not known to be a message of the contact'::text) END;

-- Name: webhook_value_items(text, jsonb, boolean, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.webhook_value_items(p_path text, p_value jsonb, p_enveloped boolean, p_any_type boolean) RETURNS TABLE(path text, kind text, item jsonb, whatsapp_number_id text, problem text, notice boolean, message_id text, status text, at timestamp with time zone, user_phone text, reference text, errors jsonb)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
#variable_conflict use_column
DECLARE
    v_prefix text := CASE WHEN p_path = '' THEN '' ELSE p_path || '.' END;
    v_number text := p_value #>> '{metadata,phone_number_id}';
    v_outside text := CASE WHEN NOT p_enveloped THEN 'no envelope: entry[].changes[].value is missing' END;
    v_lists integer := 0;
    v_name text;
BEGIN
    kind := 'part';
    notice := false;
    FOREACH v_name IN ARRAY ARRAY['statuses', 'messages', 'errors'] LOOP
        v_lists := v_lists + (p_value ? v_name)::integer;
        IF jsonb_typeof(p_value -> v_name) <> 'array' THEN
            path := v_prefix || v_name;
            item := p_value -> v_name;
            problem := v_name || ' is not an array';
            RETURN NEXT;
        END IF;
    END LOOP;
    IF v_lists = 0 THEN
        path := p_path;
        item := p_value;
        problem := 'neither statuses nor messages';
        RETURN NEXT;
    ELSIF p_enveloped AND p_value - ARRAY['statuses', 'messages', 'errors', 'contacts', 'metadata', 'messaging_product'] <> '{}' THEN
        RETURN QUERY
        SELECT
            v_prefix || left(k.name, 80), 'part', k.list, NULL::text, left(k.name, 80) || ' is neither statuses nor messages', false,
            NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::jsonb
        FROM jsonb_each(p_value - ARRAY['statuses', 'messages', 'errors', 'contacts', 'metadata', 'messaging_product']) k (name, list)
        WHERE jsonb_typeof(k.list) = 'array';
    END IF;

    IF jsonb_typeof(p_value -> 'statuses') = 'array' THEN
        RETURN QUERY
        SELECT
            format('%sstatuses[%s]', v_prefix, i.n - 1), 'status', i.item, v_number,
            nullif(concat_ws('; ', v_outside, CASE
                WHEN jsonb_typeof(i.item) <> 'object' THEN 'not a JSON object'
                ELSE nullif(concat_ws('; ',
                    CASE WHEN i.item ->> 'type' <> 'message' THEN format('the status of a %s, not of a message', left(i.item ->> 'type', 80)) END,
                    CASE WHEN jsonb_typeof(i.item -> 'id') IS DISTINCT FROM 'string' OR i.item ->> 'id' = '' THEN 'no message id (id)' END,
                    CASE WHEN jsonb_typeof(i.item -> 'status') IS DISTINCT FROM 'string' OR i.item ->> 'status' = '' THEN 'no status' END,
                    headrace.webhook_time_problem(i.item -> 'timestamp')), '')
            END), ''),
            false, i.item ->> 'id', i.item ->> 'status',
            CASE WHEN i.item ->> 'timestamp' ~ '^[0-9]{1,10}$' THEN to_timestamp((i.item ->> 'timestamp')::bigint) END,
            NULL::text, NULL::text, i.item -> 'errors'
        FROM jsonb_array_elements(p_value -> 'statuses') WITH ORDINALITY i (item, n);
    END IF;
    IF jsonb_typeof(p_value -> 'messages') = 'array' THEN
        RETURN QUERY
        SELECT
            format('%smessages[%s]', v_prefix, i.n - 1), 'message', i.item, v_number,
            nullif(concat_ws('; ', v_outside, CASE
                WHEN jsonb_typeof(i.item) <> 'object' THEN 'not a JSON object'
                ELSE nullif(concat_ws('; ',
                    coalesce(k.notice, CASE WHEN NOT p_any_type THEN headrace.webhook_unknown_type(i.item) END),
                    CASE WHEN jsonb_typeof(i.item -> 'id') IS DISTINCT FROM 'string' OR i.item ->> 'id' = '' THEN 'no message id (id)' END,
                    headrace.webhook_time_problem(i.item -> 'timestamp'),
                    CASE WHEN k.notice IS NULL AND k.sender IS NULL THEN 'no sender (from)' END,
                    CASE WHEN coalesce(v_number, '') = '' THEN 'no number (metadata.phone_number_id)' END), '')
            END), ''),
            p_enveloped AND k.notice IS NOT NULL, i.item ->> 'id', NULL::text,
            CASE WHEN i.item ->> 'timestamp' ~ '^[0-9]{1,10}$' THEN to_timestamp((i.item ->> 'timestamp')::bigint) END,
            k.sender,
            coalesce(
                CASE WHEN jsonb_typeof(i.item #> '{reaction,message_id}') = 'string' THEN nullif(i.item #>> '{reaction,message_id}', '') END,
                CASE WHEN jsonb_typeof(i.item #> '{context,id}') = 'string' THEN nullif(i.item #>> '{context,id}', '') END),
            NULL::jsonb
        FROM jsonb_array_elements(p_value -> 'messages') WITH ORDINALITY i (item, n)
        CROSS JOIN LATERAL (
            SELECT
                headrace.webhook_notice(i.item) AS notice,
                CASE
                    WHEN jsonb_typeof(i.item -> 'from') = 'string' AND i.item ->> 'from' <> '' AND NOT i.item ? 'group_id' THEN i.item ->> 'from'
                    ELSE headrace.webhook_sender(i.item, p_value -> 'contacts')
                END AS sender
            OFFSET 0
        ) k;
    END IF;
    IF jsonb_typeof(p_value -> 'errors') = 'array' THEN
        RETURN QUERY
        SELECT
            format('%serrors[%s]', v_prefix, i.n - 1), 'error', i.item, v_number,
            concat_ws('; ', v_outside, CASE WHEN jsonb_typeof(i.item) = 'object' THEN 'an error of the account, not of a message' ELSE 'not a JSON object' END),
            false, NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::jsonb
        FROM jsonb_array_elements(p_value -> 'errors') WITH ORDINALITY i (item, n);
    END IF;
END
$_$;

-- Name: whole_template_name(text, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.whole_template_name(p_key text, p_message_id text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_name text;
BEGIN
    SELECT q.template_name INTO v_name FROM headrace.stg_send_queue() q WHERE q.id = p_message_id::uuid;
    IF headrace.template_key(v_name) IS DISTINCT FROM p_key THEN
        RAISE EXCEPTION 'message % got another template while it was being counted; trying again', p_message_id USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN v_name;
END
$$;

-- Name: worker_heartbeat(text, text, integer, text, text[], bigint, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.worker_heartbeat(p_worker_id text, p_hostname text, p_pid integer, p_state text, p_streams text[], p_changes_applied bigint, p_last_error text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    INSERT INTO headrace.worker AS w (worker_id, hostname, pid, state, streams, changes_applied, last_error)
    VALUES (
        left(p_worker_id, 200), left(p_hostname, 200), p_pid, p_state, ARRAY(SELECT left(s, 200) FROM unnest(p_streams[1:100]) s),
        p_changes_applied, left(p_last_error, 2000))
    ON CONFLICT (worker_id) DO UPDATE SET
        seen_at = clock_timestamp(), state = excluded.state, streams = excluded.streams,
        changes_applied = excluded.changes_applied, last_error = excluded.last_error
$$;

-- Name: activity; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.activity (
    asset text NOT NULL,
    partition_day date NOT NULL,
    rows_changed bigint NOT NULL,
    changed_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

-- Name: TABLE activity; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.activity IS 'What was changed outside Dagster runs, per asset and UTC day partition: a running total that never falls.';

-- Name: campaign; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.campaign (
    campaign_id uuid NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    rebuild_requested_at timestamp with time zone,
    rebuilt_at timestamp with time zone,
    rebuild_failures integer DEFAULT 0 NOT NULL,
    rebuild_error text,
    rebuild_not_before timestamp with time zone,
    completed_at timestamp with time zone,
    announced_at timestamp with time zone,
    reopened_at timestamp with time zone,
    settles_until timestamp with time zone,
    frozen_status text,
    source_rows jsonb,
    late_messages text[],
    last_version bigint DEFAULT 0 NOT NULL,
    document_due_at timestamp with time zone,
    CONSTRAINT campaign_state_known CHECK ((state = ANY (ARRAY['pending'::text, 'live'::text, 'settling'::text, 'frozen'::text, 'amended'::text, 'deleted'::text])))
)
WITH (fillfactor='70');

-- Name: TABLE campaign; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign IS 'Headrace''s own row of a campaign: the lock that folds, rebuilds and freezes share. pending: not computed yet, served live. rebuild_error: why its last rebuild failed; tried again from rebuild_not_before on. completed_at: by the source, else when it was noticed; settles_until: when it is to be frozen; source_rows: how many there were at the last freeze or amendment; late_messages: some of those whose changes asked for an amendment; document_due_at: when the document of a campaign with very many templates is to be written anew, null while it says what the counters say.';

-- Name: campaign_completion; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.campaign_completion (
    id bigint NOT NULL,
    campaign_id uuid NOT NULL,
    completed_at timestamp with time zone NOT NULL,
    noticed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL
);

-- Name: TABLE campaign_completion; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign_completion IS 'Completions as the stream noticed them, for the sensor completed_campaigns; kept 30 days.';

-- Name: campaign_completion_id_seq; Type: SEQUENCE; Schema: headrace; Owner: -

ALTER TABLE headrace.campaign_completion ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.campaign_completion_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: campaign_frozen_hours; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.campaign_frozen_hours (
    campaign_id uuid NOT NULL,
    hours timestamp with time zone[] NOT NULL,
    sent integer[] NOT NULL,
    delivered integer[] NOT NULL,
    read integer[] NOT NULL,
    replied integer[] NOT NULL
);

-- Name: TABLE campaign_frozen_hours; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign_frozen_hours IS 'The rows of campaign_hour of a frozen campaign as one row, in order of hour: a tenth of the space.';

-- Name: campaign_hour; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.campaign_hour (
    campaign_id uuid NOT NULL,
    hour timestamp with time zone NOT NULL,
    sent integer NOT NULL,
    delivered integer NOT NULL,
    read integer NOT NULL,
    replied integer NOT NULL,
    CONSTRAINT campaign_hour_counts CHECK (((sent >= 0) AND (delivered >= 0) AND (read >= 0) AND (replied >= 0)))
)
WITH (fillfactor='70');

-- Name: TABLE campaign_hour; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign_hour IS 'Messages per unfrozen campaign and UTC hour of the first evidence that they were sent, delivered, read, replied to.';

-- Name: campaign_hourly_stats; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.campaign_hourly_stats AS
 SELECT h.campaign_id,
    h.hour,
    h.sent,
    h.delivered,
    h.read,
    h.replied
   FROM headrace.campaign_hour h
UNION ALL
 SELECT f.campaign_id,
    u.hour,
    u.sent,
    u.delivered,
    u.read,
    u.replied
   FROM (headrace.campaign_frozen_hours f
     CROSS JOIN LATERAL UNNEST(f.hours, f.sent, f.delivered, f.read, f.replied) u(hour, sent, delivered, read, replied));

-- Name: campaign_latency; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.campaign_latency (
    campaign_id uuid NOT NULL,
    kind "char" NOT NULL,
    block integer NOT NULL,
    messages integer NOT NULL,
    seconds integer[] NOT NULL,
    counts integer[] NOT NULL,
    CONSTRAINT campaign_latency_counts CHECK (((messages >= 0) AND (cardinality(counts) = cardinality(seconds)) AND (0 < ALL (counts)))),
    CONSTRAINT campaign_latency_kind_known CHECK ((kind = ANY (ARRAY['d'::"char", 'r'::"char"])))
)
WITH (fillfactor='70');

-- Name: TABLE campaign_latency; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign_latency IS 'How many messages of an unfrozen campaign took how long from sent to delivered (d) and to read (r): what its medians are read from. seconds: what occurs of the times that the block is for (headrace.latency_block), in order; counts: how often.';

-- Name: campaign_stats_pending_amendment; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.campaign_stats_pending_amendment (
    campaign_id uuid NOT NULL,
    why jsonb NOT NULL,
    source_rows_then jsonb NOT NULL,
    source_rows_now jsonb NOT NULL,
    times bigint DEFAULT 1 NOT NULL,
    first_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

-- Name: TABLE campaign_stats_pending_amendment; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign_stats_pending_amendment IS 'Frozen campaigns that something late happened to while the source has fewer rows than it had: nothing is recomputed until an operator says so.';

-- Name: campaign_template_stats; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.campaign_template_stats (
    campaign_id uuid NOT NULL,
    template_name text,
    total bigint NOT NULL,
    sent bigint NOT NULL,
    delivered bigint NOT NULL,
    read bigint NOT NULL,
    replied bigint NOT NULL,
    failed bigint NOT NULL,
    failed_queue bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    template_md5 uuid NOT NULL,
    CONSTRAINT campaign_template_stats_failed CHECK (((failed >= 0) AND (failed <= (total - delivered)))),
    CONSTRAINT campaign_template_stats_failed_queue CHECK (((failed_queue >= 0) AND (failed_queue <= failed))),
    CONSTRAINT campaign_template_stats_funnel CHECK (((total >= sent) AND (sent >= delivered) AND (delivered >= read) AND (read >= 0))),
    CONSTRAINT campaign_template_stats_replied CHECK (((replied >= 0) AND (replied <= sent)))
)
WITH (fillfactor='50');
ALTER TABLE ONLY headrace.campaign_template_stats ALTER COLUMN template_name SET STORAGE EXTERNAL;

ALTER TABLE ONLY headrace.campaign_template_stats REPLICA IDENTITY FULL;

-- Name: TABLE campaign_template_stats; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign_template_stats IS 'Messages per campaign and template, kept incrementally. failed_queue: the part of failed that the queue row says.';

-- Name: COLUMN campaign_template_stats.template_md5; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.campaign_template_stats.template_md5 IS 'md5 of template_name, zeros for null: a key of fixed size, for names may have megabytes.';

-- Name: campaign_standing; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.campaign_standing AS
 SELECT k.campaign_id,
    k.state,
    (k.state = ANY (ARRAY['frozen'::text, 'amended'::text])) AS final,
    (k.state = ANY (ARRAY['live'::text, 'settling'::text, 'frozen'::text, 'amended'::text])) AS counted,
    (k.rebuild_requested_at IS NOT NULL) AS requested,
    ((k.rebuild_requested_at IS NOT NULL) OR COALESCE(((k.state = 'settling'::text) AND (k.settles_until <= statement_timestamp())), false)) AS due,
    COALESCE((k.rebuild_not_before > statement_timestamp()), false) AS put_off,
    k.document_due_at,
    k.completed_at,
    k.settles_until,
    k.source_rows,
    d.version,
    d.frozen_at,
    d.facts,
    (p.campaign_id IS NOT NULL) AS amendment_waits,
    p.source_rows_then,
    p.source_rows_now,
    ( SELECT (sum(s.total))::bigint AS sum
           FROM headrace.campaign_template_stats s
          WHERE (s.campaign_id = k.campaign_id)) AS messages
   FROM ((headrace.campaign k
     LEFT JOIN headrace.campaign_computed_stats d ON ((k.campaign_id = d.campaign_id)))
     LEFT JOIN headrace.campaign_stats_pending_amendment p ON ((k.campaign_id = p.campaign_id)));

-- Name: campaign_stats_amendment; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.campaign_stats_amendment (
    id bigint NOT NULL,
    campaign_id uuid NOT NULL,
    version bigint NOT NULL,
    template_stats jsonb NOT NULL,
    totals jsonb NOT NULL,
    checksum text NOT NULL,
    computed_at timestamp with time zone NOT NULL,
    frozen_at timestamp with time zone NOT NULL,
    amended_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed jsonb NOT NULL,
    why jsonb NOT NULL
);

-- Name: TABLE campaign_stats_amendment; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign_stats_amendment IS 'A frozen document as it was before it was amended or reopened: the earlier version, what changed from it and why.';

-- Name: campaign_stats_amendment_id_seq; Type: SEQUENCE; Schema: headrace; Owner: -

ALTER TABLE headrace.campaign_stats_amendment ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.campaign_stats_amendment_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: campaign_template_stats_live; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.campaign_template_stats_live AS
 SELECT i.campaign_id,
    s.template_name,
    s.total,
    s.sent,
    s.delivered,
    s.read,
    s.replied,
    s.failed,
    s.failed_queue
   FROM (headrace.source_campaign_ids() i(campaign_id)
     CROSS JOIN LATERAL headrace.live_counters(i.campaign_id) s(template_name, total, sent, delivered, read, replied, failed, failed_queue));

-- Name: change_log_default; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.change_log_default (
    pos bigint CONSTRAINT change_log_pos_not_null NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() CONSTRAINT change_log_xid_not_null NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT change_log_changed_at_not_null NOT NULL,
    source text CONSTRAINT change_log_source_not_null NOT NULL,
    op "char" CONSTRAINT change_log_op_not_null NOT NULL,
    entity_id text,
    scope text,
    data jsonb,
    cause text
);

ALTER TABLE ONLY headrace.change_log_default REPLICA IDENTITY FULL;

-- Name: TABLE change_log_default; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.change_log_default IS 'Changes of days that have no partition; normally empty. They are applied like all others, and deleted when past their retention.';

-- Name: change_log_pos_seq; Type: SEQUENCE; Schema: headrace; Owner: -

ALTER TABLE headrace.change_log ALTER COLUMN pos ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.change_log_pos_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: dead_letter; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.dead_letter (
    id bigint NOT NULL,
    stream text NOT NULL,
    shard integer NOT NULL,
    change headrace.change_log NOT NULL,
    pos bigint NOT NULL,
    entity_id text,
    status text DEFAULT 'failed'::text NOT NULL,
    error_code text NOT NULL,
    error text NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    first_failed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_failed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    next_try_at timestamp with time zone,
    CONSTRAINT dead_letter_status_known CHECK ((status = ANY (ARRAY['failed'::text, 'waiting'::text])))
);

-- Name: TABLE dead_letter; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.dead_letter IS 'A change that a stream could not apply (failed), or that waits behind one of the same entity (waiting). Kept until a retry succeeds or an operator discards it; next_try_at null: no further try by itself.';

-- Name: dead_letter_id_seq; Type: SEQUENCE; Schema: headrace; Owner: -

ALTER TABLE headrace.dead_letter ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.dead_letter_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: document_agreement; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.document_agreement AS
 SELECT k.campaign_id,
    (k.state = ANY (ARRAY['frozen'::text, 'amended'::text])) AS frozen,
    COALESCE(((d.template_stats @> c.templates) AND (jsonb_array_length(d.template_stats) = jsonb_array_length(c.templates)) AND (d.totals @> ((to_jsonb(c.*) - 'templates'::text) - 'all_templates'::text)) AND (COALESCE(((d.totals ->> 'templates'::text))::bigint, (jsonb_array_length(d.template_stats))::bigint) = c.all_templates) AND ((k.state <> ALL (ARRAY['frozen'::text, 'amended'::text])) OR ((d.state = k.state) AND (d.frozen_at IS NOT NULL) AND (d.checksum = md5(((d.template_stats)::text || (d.totals)::text)))))), false) AS agrees
   FROM ((headrace.campaign k
     LEFT JOIN headrace.campaign_computed_stats d ON ((k.campaign_id = d.campaign_id)))
     CROSS JOIN LATERAL ( SELECT COALESCE(sum(s.total), (0)::numeric) AS total,
            COALESCE(sum(s.sent), (0)::numeric) AS sent,
            COALESCE(sum(s.delivered), (0)::numeric) AS delivered,
            COALESCE(sum(s.read), (0)::numeric) AS read,
            COALESCE(sum(s.replied), (0)::numeric) AS replied,
            COALESCE(sum(s.failed), (0)::numeric) AS failed,
            COALESCE(sum(s.failed_queue), (0)::numeric) AS failed_queue,
            count(s.place) AS all_templates,
            COALESCE(jsonb_agg(jsonb_build_object('template_name', headrace.listed_template(s.template_name, s.template_md5), 'total', s.total, 'sent', s.sent, 'delivered', s.delivered, 'read', s.read, 'replied', s.replied, 'failed', s.failed, 'failed_queue', s.failed_queue)) FILTER (WHERE (s.place <= headrace.most_listed_templates())), '[]'::jsonb) AS templates
           FROM ( SELECT t.campaign_id,
                    t.template_name,
                    t.total,
                    t.sent,
                    t.delivered,
                    t.read,
                    t.replied,
                    t.failed,
                    t.failed_queue,
                    t.updated_at,
                    t.template_md5,
                    row_number() OVER (ORDER BY t.total DESC, t.template_md5) AS place
                   FROM headrace.campaign_template_stats t
                  WHERE (t.campaign_id = k.campaign_id)) s) c);

-- Name: document_faults; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.document_faults AS
 WITH pair AS MATERIALIZED (
         SELECT u.campaign_id,
            u.is_total,
            u.template_name,
            count(u.said) AS times_said,
            count(u.counted) AS times_counted,
            (min((u.said)::text))::jsonb AS said,
            (min((u.counted)::text))::jsonb AS counted
           FROM ( SELECT d.campaign_id,
                    true AS is_total,
                    NULL::text AS template_name,
                        CASE
                            WHEN (jsonb_typeof(d.totals) = 'object'::text) THEN ((d.totals - 'median_seconds_to_delivered'::text) - 'median_seconds_to_read'::text)
                            ELSE d.totals
                        END AS said,
                    NULL::jsonb AS counted
                   FROM headrace.campaign_computed_stats d
                UNION ALL
                 SELECT d.campaign_id,
                    false AS is_total,
                    (e.numbers ->> 'template_name'::text) AS template_name,
                        CASE
                            WHEN (jsonb_typeof(e.numbers) = 'object'::text) THEN (e.numbers - 'template_name'::text)
                            ELSE e.numbers
                        END AS said,
                    NULL::jsonb AS counted
                   FROM (headrace.campaign_computed_stats d
                     CROSS JOIN LATERAL jsonb_array_elements(
                        CASE
                            WHEN (jsonb_typeof(d.template_stats) = 'array'::text) THEN d.template_stats
                            ELSE '[]'::jsonb
                        END) e(numbers))
                UNION ALL
                 SELECT s.campaign_id,
                    false AS is_total,
                    headrace.listed_template(s.template_name, s.template_md5) AS template_name,
                    NULL::jsonb AS said,
                    headrace.counters_json(s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue) AS counted
                   FROM ( SELECT t.campaign_id,
                            t.template_name,
                            t.total,
                            t.sent,
                            t.delivered,
                            t.read,
                            t.replied,
                            t.failed,
                            t.failed_queue,
                            t.updated_at,
                            t.template_md5,
                            row_number() OVER (PARTITION BY t.campaign_id ORDER BY t.total DESC, t.template_md5) AS place
                           FROM headrace.campaign_template_stats t) s
                  WHERE (s.place <= headrace.most_listed_templates())
                UNION ALL
                 SELECT d.campaign_id,
                    true AS is_total,
                    NULL::text AS template_name,
                    NULL::jsonb AS said,
                    (headrace.counters_json((COALESCE(sum(s.total), (0)::numeric))::bigint, (COALESCE(sum(s.sent), (0)::numeric))::bigint, (COALESCE(sum(s.delivered), (0)::numeric))::bigint, (COALESCE(sum(s.read), (0)::numeric))::bigint, (COALESCE(sum(s.replied), (0)::numeric))::bigint, (COALESCE(sum(s.failed), (0)::numeric))::bigint, (COALESCE(sum(s.failed_queue), (0)::numeric))::bigint) || headrace.templates_json(count(s.campaign_id))) AS counted
                   FROM (headrace.campaign_computed_stats d
                     LEFT JOIN headrace.campaign_template_stats s ON ((d.campaign_id = s.campaign_id)))
                  GROUP BY d.campaign_id) u
          WHERE (NOT (u.campaign_id IN ( SELECT k.campaign_id
                   FROM headrace.campaign k
                  WHERE (k.document_due_at IS NOT NULL))))
          GROUP BY u.campaign_id, u.is_total, u.template_name
         HAVING ((count(u.said) <> 1) OR (count(u.counted) <> 1) OR (min((u.said)::text) <> min((u.counted)::text)))
        ), doubtful AS (
         SELECT p.campaign_id,
            'document'::text AS place,
            p.is_total,
            p.template_name,
            p.said AS numbers
           FROM pair p
        UNION ALL
         SELECT s.campaign_id,
            'counters'::text AS place,
            false AS is_total,
            s.template_name,
            headrace.counters_json(s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue) AS numbers
           FROM headrace.campaign_template_stats s
          WHERE (NOT ((s.total >= s.sent) AND (s.sent >= s.delivered) AND (s.delivered >= s.read) AND (s.replied <= s.sent) AND (s.failed <= (s.total - s.delivered)) AND (s.failed_queue <= s.failed)))
        )
 SELECT b.campaign_id,
    b.place,
    b.is_total,
    b.template_name,
    ((r.part || ' exceeds '::text) || r.whole) AS problem,
    (b.numbers -> r.part) AS said,
    r.most AS counted
   FROM (doubtful b
     CROSS JOIN LATERAL ( VALUES ('sent'::text,'total'::text,(b.numbers -> 'total'::text)), ('delivered'::text,'sent'::text,(b.numbers -> 'sent'::text)), ('read'::text,'delivered'::text,(b.numbers -> 'delivered'::text)), ('replied'::text,'sent'::text,(b.numbers -> 'sent'::text)), ('failed_queue'::text,'failed'::text,(b.numbers -> 'failed'::text)), ('failed'::text,'total - delivered'::text,
                CASE
                    WHEN ((jsonb_typeof((b.numbers -> 'total'::text)) = 'number'::text) AND (jsonb_typeof((b.numbers -> 'delivered'::text)) = 'number'::text)) THEN to_jsonb((((b.numbers ->> 'total'::text))::numeric - ((b.numbers ->> 'delivered'::text))::numeric))
                    ELSE NULL::jsonb
                END)) r(part, whole, most))
  WHERE ((jsonb_typeof((b.numbers -> r.part)) = 'number'::text) AND (jsonb_typeof(r.most) = 'number'::text) AND ((b.numbers -> r.part) > r.most))
UNION ALL
 SELECT p.campaign_id,
    'document'::text AS place,
    p.is_total,
    p.template_name,
    (k.counter || ' differs'::text) AS problem,
    (p.said -> k.counter) AS said,
    (p.counted -> k.counter) AS counted
   FROM (pair p
     CROSS JOIN LATERAL ( SELECT jsonb_object_keys(p.counted) AS counter
        UNION
         SELECT jsonb_object_keys(
                CASE
                    WHEN (jsonb_typeof(p.said) = 'object'::text) THEN p.said
                    ELSE '{}'::jsonb
                END) AS counter) k)
  WHERE ((p.times_said = 1) AND (p.times_counted = 1) AND (((p.said -> k.counter))::text IS DISTINCT FROM ((p.counted -> k.counter))::text))
UNION ALL
 SELECT p.campaign_id,
    'document'::text AS place,
    p.is_total,
    p.template_name,
        CASE
            WHEN (p.times_said = 0) THEN 'lacks it'::text
            WHEN (p.times_counted = 0) THEN 'has it, the counters do not'::text
            ELSE 'has it more than once'::text
        END AS problem,
    (p.said -> 'total'::text) AS said,
    (p.counted -> 'total'::text) AS counted
   FROM (pair p
     JOIN headrace.campaign_computed_stats d ON ((p.campaign_id = d.campaign_id)))
  WHERE ((p.times_said <> 1) OR (p.times_counted <> 1))
UNION ALL
 SELECT DISTINCT s.campaign_id,
    'document'::text AS place,
    true AS is_total,
    NULL::text AS template_name,
    'is not there'::text AS problem,
    NULL::jsonb AS said,
    NULL::jsonb AS counted
   FROM (headrace.campaign_template_stats s
     LEFT JOIN headrace.campaign_computed_stats d ON ((s.campaign_id = d.campaign_id)))
  WHERE (d.campaign_id IS NULL)
UNION ALL
 SELECT d.campaign_id,
    'document'::text AS place,
    true AS is_total,
    NULL::text AS template_name,
    'checksum differs'::text AS problem,
    to_jsonb(d.checksum) AS said,
    to_jsonb(md5(((d.template_stats)::text || (d.totals)::text))) AS counted
   FROM headrace.campaign_computed_stats d
  WHERE (d.checksum <> md5(((d.template_stats)::text || (d.totals)::text)))
UNION ALL
 SELECT k.campaign_id,
    'document'::text AS place,
    true AS is_total,
    NULL::text AS template_name,
    'state differs from the campaign''s'::text AS problem,
    to_jsonb(d.state) AS said,
    to_jsonb(k.state) AS counted
   FROM (headrace.campaign k
     JOIN headrace.campaign_computed_stats d ON ((k.campaign_id = d.campaign_id)))
  WHERE (((k.state = ANY (ARRAY['frozen'::text, 'amended'::text])) OR (d.state = ANY (ARRAY['frozen'::text, 'amended'::text]))) AND ((d.state <> k.state) OR (d.frozen_at IS NULL)));

-- Name: installation; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.installation (
    name text NOT NULL,
    value text NOT NULL
);

-- Name: TABLE installation; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.installation IS 'What the last migrate rendered into the replaceable objects: their fingerprint, source schema, settings. Retention and the time after which a stream is lost hold for every worker, whatever its own settings say.';

-- Name: message_outcome; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.message_outcome (
    message_id text NOT NULL COLLATE pg_catalog."C",
    campaign_id uuid NOT NULL,
    bits smallint NOT NULL,
    template_name text,
    sent_at timestamp with time zone,
    delivered_at timestamp with time zone,
    read_at timestamp with time zone,
    replied_at timestamp with time zone
)
WITH (fillfactor='85');

-- Name: TABLE message_outcome; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.message_outcome IS 'What each queued message of an unfrozen campaign counts as. bits: 1 sent, 2 delivered, 4 read, 8 failed, 16 failed in the queue, 32 replied; the times: first evidence of each. message_id: send_queue.id as text. template_name: one of more than 1,000 bytes is cut, with its md5 at the end.';

-- Name: schema_version; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.schema_version (
    version_num character varying(32) NOT NULL
);

-- Name: source; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.source (
    source text NOT NULL,
    schema_name name NOT NULL,
    table_name name NOT NULL,
    relid oid NOT NULL,
    columns jsonb NOT NULL,
    parts oid[] NOT NULL,
    storage text NOT NULL,
    mark text,
    triggers jsonb NOT NULL,
    functions jsonb NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    specs jsonb DEFAULT '{}'::jsonb NOT NULL
);

-- Name: TABLE source; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.source IS 'A captured table as it was when it was noted last: the columns that are read (number, type, version), its partitions, where its rows lie. mark: all of it in one text, to be compared at a glance. triggers, functions: what capture made.';

-- Name: COLUMN source.specs; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.source.specs IS 'What each domain wants to be captured (capture_spec), by the domain''s name.';

-- Name: stream; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.stream (
    stream text NOT NULL,
    sources text[] NOT NULL,
    handler text NOT NULL,
    shards integer DEFAULT 1 NOT NULL,
    ordered boolean DEFAULT false NOT NULL,
    rebuild_step text,
    rebuilds_pending text,
    rebuild_all text,
    rows_left text,
    rebuild_pick text,
    rebuild_items text,
    rebuild_put_off text,
    domain text,
    rebuild_new text,
    on_setting jsonb DEFAULT '{}'::jsonb NOT NULL,
    unit text,
    CONSTRAINT stream_shards_positive CHECK (((shards >= 1) AND (shards <= 1024)))
);

-- Name: TABLE stream; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.stream IS 'A consumer of the change log: its sources and the SQL function (change_log[]) -> bigint that applies a batch. ordered: behind a dead letter, later changes of the same entity wait. rebuild_step() -> integer and rebuilds_pending() -> bigint: what the stream derives and is queued to be recomputed; rebuild_all(): queues it all.';

-- Name: COLUMN stream.rows_left; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.stream.rows_left IS 'rows_left(source text) -> bigint: queues what may count differently because rows went from a source without a trigger: a partition was detached or dropped. Where rows came or changed that way, rebuild_all queues everything.';

-- Name: COLUMN stream.domain; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.stream.domain IS 'Whose stream it is; it goes when the domain is no longer active. Null: nobody''s, it stays.';

-- Name: COLUMN stream.rebuild_new; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.stream.rebuild_new IS 'rebuild_new() -> bigint: queues what the stream does not have yet. rebuild_all queues everything there is.';

-- Name: COLUMN stream.on_setting; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.stream.on_setting IS 'By the name of a setting the function() that migrate calls when another value of it holds.';

-- Name: COLUMN stream.unit; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON COLUMN headrace.stream.unit IS 'What rebuilds are counted in, as a noun: campaigns.';

-- Name: stream_lag; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.stream_lag AS
 SELECT k.stream,
    k.shard,
        CASE
            WHEN ((k.system_identifier <> ( SELECT pg_control_system.system_identifier
               FROM pg_control_system() pg_control_system(pg_control_version, catalog_version_no, system_identifier, pg_control_last_modified))) OR (k.database_name <> current_database()) OR (pg_snapshot_xmax(k.prev) > pg_snapshot_xmax(pg_current_snapshot()))) THEN 'mismatch'::text
            ELSE k.state
        END AS state,
    b.rows_behind,
    (COALESCE(EXTRACT(epoch FROM (clock_timestamp() - b.oldest_change)), (0)::numeric))::double precision AS seconds_behind,
    w.pid AS oldest_writer_pid,
    w.seconds AS oldest_writer_seconds,
    k.changes_applied,
    k.advanced_at,
    b.more_behind,
    w.gid AS oldest_writer_gid
   FROM ((headrace.stream_cursor k
     JOIN headrace.changes_behind() b(stream, shard, rows_behind, more_behind, oldest_change) ON (((k.stream = b.stream) AND (k.shard = b.shard))))
     LEFT JOIN headrace.oldest_writer() w(pid, role_name, application_name, seconds, gid) ON (true));

-- Name: webhook_lock; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.webhook_lock (
    bucket smallint NOT NULL
);

-- Name: TABLE webhook_lock; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.webhook_lock IS 'One row for each 256th of message ids, locked while webhooks with such ids are taken in: two deliveries of one item wait for each other. Rows, and not advisory locks, which any login may hold.';

-- Name: webhook_reject; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.webhook_reject (
    id bigint NOT NULL,
    path text NOT NULL,
    reason text NOT NULL,
    item jsonb NOT NULL,
    whatsapp_number_id text,
    times bigint DEFAULT 1 NOT NULL,
    first_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    sender text,
    notice boolean DEFAULT false NOT NULL
);

-- Name: TABLE webhook_reject; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.webhook_reject IS 'A part of a webhook that ingest_whatsapp_webhook did not take, with the reason and where in the body it stood; once however often it is delivered (times). notice: of a kind that is known, and nobody needs to look at it. Kept until it is taken in by retry_webhook_rejects, or an operator discards it.';

-- Name: webhook_reject_id_seq; Type: SEQUENCE; Schema: headrace; Owner: -

ALTER TABLE headrace.webhook_reject ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME headrace.webhook_reject_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: worker; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.worker (
    worker_id text NOT NULL,
    hostname text NOT NULL,
    pid integer NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    state text NOT NULL,
    streams text[] NOT NULL,
    changes_applied bigint DEFAULT 0 NOT NULL,
    last_error text,
    CONSTRAINT worker_state_known CHECK ((state = ANY (ARRAY['running'::text, 'stopping'::text, 'stopped'::text])))
);

-- Name: TABLE worker; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.worker IS 'One row per resident worker: its heartbeat. Kept a day after the last one.';

-- Name: change_log_default; Type: TABLE ATTACH; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.change_log ATTACH PARTITION headrace.change_log_default DEFAULT;

-- Name: activity activity_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.activity
    ADD CONSTRAINT activity_pkey PRIMARY KEY (asset, partition_day);

-- Name: campaign_completion campaign_completion_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.campaign_completion
    ADD CONSTRAINT campaign_completion_pkey PRIMARY KEY (id);

-- Name: campaign_computed_stats campaign_computed_stats_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.campaign_computed_stats
    ADD CONSTRAINT campaign_computed_stats_pkey PRIMARY KEY (campaign_id);

-- Name: campaign_frozen_hours campaign_frozen_hours_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.campaign_frozen_hours
    ADD CONSTRAINT campaign_frozen_hours_pkey PRIMARY KEY (campaign_id);

-- Name: campaign_hour campaign_hour_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.campaign_hour
    ADD CONSTRAINT campaign_hour_pkey PRIMARY KEY (campaign_id, hour);

-- Name: campaign_latency campaign_latency_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.campaign_latency
    ADD CONSTRAINT campaign_latency_pkey PRIMARY KEY (campaign_id, kind, block);

-- Name: campaign campaign_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.campaign
    ADD CONSTRAINT campaign_pkey PRIMARY KEY (campaign_id);

-- Name: campaign_stats_amendment campaign_stats_amendment_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.campaign_stats_amendment
    ADD CONSTRAINT campaign_stats_amendment_pkey PRIMARY KEY (id);

-- Name: campaign_stats_pending_amendment campaign_stats_pending_amendment_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.campaign_stats_pending_amendment
    ADD CONSTRAINT campaign_stats_pending_amendment_pkey PRIMARY KEY (campaign_id);

-- Name: dead_letter dead_letter_once; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.dead_letter
    ADD CONSTRAINT dead_letter_once UNIQUE (stream, pos);

-- Name: dead_letter dead_letter_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.dead_letter
    ADD CONSTRAINT dead_letter_pkey PRIMARY KEY (id);

-- Name: installation installation_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (name);

-- Name: message_outcome message_outcome_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.message_outcome
    ADD CONSTRAINT message_outcome_pkey PRIMARY KEY (message_id);

-- Name: schema_version schema_version_pkc; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.schema_version
    ADD CONSTRAINT schema_version_pkc PRIMARY KEY (version_num);

-- Name: source source_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.source
    ADD CONSTRAINT source_pkey PRIMARY KEY (source);

-- Name: stream_cursor stream_cursor_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.stream_cursor
    ADD CONSTRAINT stream_cursor_pkey PRIMARY KEY (stream, shard);

-- Name: stream stream_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.stream
    ADD CONSTRAINT stream_pkey PRIMARY KEY (stream);

-- Name: webhook_lock webhook_lock_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.webhook_lock
    ADD CONSTRAINT webhook_lock_pkey PRIMARY KEY (bucket);

-- Name: webhook_reject webhook_reject_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.webhook_reject
    ADD CONSTRAINT webhook_reject_pkey PRIMARY KEY (id);

-- Name: worker worker_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (worker_id);

-- Name: activity_changed; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX activity_changed ON headrace.activity USING btree (changed_at);

-- Name: campaign_completion_xid; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX campaign_completion_xid ON headrace.campaign_completion USING btree (xid);

-- Name: campaign_document_due; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX campaign_document_due ON headrace.campaign USING btree (document_due_at) WHERE (document_due_at IS NOT NULL);

-- Name: campaign_rebuild_due; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX campaign_rebuild_due ON headrace.campaign USING btree (COALESCE(rebuild_not_before, rebuild_requested_at)) WHERE ((rebuild_requested_at IS NOT NULL) AND (rebuild_error IS NULL));

-- Name: campaign_rebuild_failed; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX campaign_rebuild_failed ON headrace.campaign USING btree (COALESCE(rebuild_not_before, rebuild_requested_at)) WHERE ((rebuild_requested_at IS NOT NULL) AND (rebuild_error IS NOT NULL));

-- Name: campaign_settled; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX campaign_settled ON headrace.campaign USING btree (settles_until) WHERE ((state = 'settling'::text) AND (rebuild_requested_at IS NULL));

-- Name: campaign_stats_amendment_campaign; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX campaign_stats_amendment_campaign ON headrace.campaign_stats_amendment USING btree (campaign_id, version);

-- Name: campaign_template_stats_key; Type: INDEX; Schema: headrace; Owner: -

CREATE UNIQUE INDEX campaign_template_stats_key ON headrace.campaign_template_stats USING btree (campaign_id, template_md5);

-- Name: change_log_pos; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX change_log_pos ON ONLY headrace.change_log USING btree (pos);

-- Name: change_log_default_pos_idx; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX change_log_default_pos_idx ON headrace.change_log_default USING btree (pos);

-- Name: change_log_xid; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX change_log_xid ON ONLY headrace.change_log USING btree (xid);

-- Name: change_log_default_xid_idx; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX change_log_default_xid_idx ON headrace.change_log_default USING btree (xid);

-- Name: dead_letter_entity; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX dead_letter_entity ON headrace.dead_letter USING btree (stream, hashtextextended(entity_id, (0)::bigint), pos);

-- Name: message_outcome_campaign; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX message_outcome_campaign ON headrace.message_outcome USING btree (campaign_id);

-- Name: webhook_reject_once; Type: INDEX; Schema: headrace; Owner: -

CREATE UNIQUE INDEX webhook_reject_once ON headrace.webhook_reject USING btree (md5((item)::text), md5(reason), path, md5(COALESCE(whatsapp_number_id, ''::text)));

-- Name: webhook_reject_to_look_at; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX webhook_reject_to_look_at ON headrace.webhook_reject USING btree (id) WHERE (NOT notice);

-- Name: change_log_default_pos_idx; Type: INDEX ATTACH; Schema: headrace; Owner: -

ALTER INDEX headrace.change_log_pos ATTACH PARTITION headrace.change_log_default_pos_idx;

-- Name: change_log_default_xid_idx; Type: INDEX ATTACH; Schema: headrace; Owner: -

ALTER INDEX headrace.change_log_xid ATTACH PARTITION headrace.change_log_default_xid_idx;

-- Name: stream_cursor stream_cursor_stream_fkey; Type: FK CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.stream_cursor
    ADD CONSTRAINT stream_cursor_stream_fkey FOREIGN KEY (stream) REFERENCES headrace.stream(stream) ON DELETE CASCADE;

-- Name: SCHEMA headrace; Type: ACL; Schema: -; Owner: -

GRANT USAGE ON SCHEMA headrace TO headrace_reader;
GRANT USAGE ON SCHEMA headrace TO headrace_app;
GRANT USAGE ON SCHEMA headrace TO headrace_worker;
GRANT USAGE ON SCHEMA headrace TO headrace_capture;

-- Name: FUNCTION add_change_log_partition(p_day date); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.add_change_log_partition(p_day date) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.add_change_log_partition(p_day date) TO headrace_worker;

-- Name: FUNCTION altered_sources(p_sources text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.altered_sources(p_sources text[]) FROM PUBLIC;

-- Name: FUNCTION amend_campaign(p_campaign_id uuid, p_status text, p_accept_fewer_rows boolean, p_reopen boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.amend_campaign(p_campaign_id uuid, p_status text, p_accept_fewer_rows boolean, p_reopen boolean) FROM PUBLIC;

-- Name: FUNCTION amend_campaigns(p_campaigns uuid[], p_accept boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.amend_campaigns(p_campaigns uuid[], p_accept boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.amend_campaigns(p_campaigns uuid[], p_accept boolean) TO headrace_worker;

-- Name: FUNCTION apply_outcomes(p_changes headrace.outcome_change[], p_recounted uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.apply_outcomes(p_changes headrace.outcome_change[], p_recounted uuid[]) FROM PUBLIC;

-- Name: FUNCTION apply_times(p_changes headrace.outcome_change[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.apply_times(p_changes headrace.outcome_change[]) FROM PUBLIC;

-- Name: FUNCTION calendar_day(p_at timestamp with time zone); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.calendar_day(p_at timestamp with time zone) FROM PUBLIC;

-- Name: FUNCTION campaign_contact_distribution(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.campaign_contact_distribution(p_campaign_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.campaign_contact_distribution(p_campaign_id uuid) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.campaign_contact_distribution(p_campaign_id uuid) TO headrace_app;
GRANT ALL ON FUNCTION headrace.campaign_contact_distribution(p_campaign_id uuid) TO headrace_worker;

-- Name: FUNCTION campaign_stats(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.campaign_stats(p_campaign_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.campaign_stats(p_campaign_id uuid) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.campaign_stats(p_campaign_id uuid) TO headrace_app;
GRANT ALL ON FUNCTION headrace.campaign_stats(p_campaign_id uuid) TO headrace_worker;

-- Name: TABLE change_log; Type: ACL; Schema: headrace; Owner: -

GRANT INSERT ON TABLE headrace.change_log TO headrace_capture;

-- Name: FUNCTION campaign_stats_apply(p_changes headrace.change_log[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.campaign_stats_apply(p_changes headrace.change_log[]) FROM PUBLIC;

-- Name: FUNCTION campaigns_created(p_from timestamp with time zone, p_to timestamp with time zone); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.campaigns_created(p_from timestamp with time zone, p_to timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.campaigns_created(p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_worker;

-- Name: FUNCTION campaigns_named(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.campaigns_named(p_campaigns uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.campaigns_named(p_campaigns uuid[]) TO headrace_worker;

-- Name: FUNCTION capture_campaigns_delete(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_campaigns_delete() FROM PUBLIC;

-- Name: FUNCTION capture_campaigns_insert(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_campaigns_insert() FROM PUBLIC;

-- Name: FUNCTION capture_campaigns_truncate(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_campaigns_truncate() FROM PUBLIC;

-- Name: FUNCTION capture_campaigns_update(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_campaigns_update() FROM PUBLIC;

-- Name: FUNCTION capture_faults(p_sources text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_faults(p_sources text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.capture_faults(p_sources text[]) TO headrace_worker;

-- Name: FUNCTION capture_fingerprint(p_function oid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_fingerprint(p_function oid) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.capture_fingerprint(p_function oid) TO headrace_worker;

-- Name: FUNCTION capture_message_status_logs_delete(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_message_status_logs_delete() FROM PUBLIC;

-- Name: FUNCTION capture_message_status_logs_insert(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_message_status_logs_insert() FROM PUBLIC;

-- Name: FUNCTION capture_message_status_logs_truncate(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_message_status_logs_truncate() FROM PUBLIC;

-- Name: FUNCTION capture_message_status_logs_update(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_message_status_logs_update() FROM PUBLIC;

-- Name: FUNCTION capture_messages_delete(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_messages_delete() FROM PUBLIC;

-- Name: FUNCTION capture_messages_insert(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_messages_insert() FROM PUBLIC;

-- Name: FUNCTION capture_messages_truncate(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_messages_truncate() FROM PUBLIC;

-- Name: FUNCTION capture_messages_update(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_messages_update() FROM PUBLIC;

-- Name: FUNCTION capture_send_queue_delete(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_send_queue_delete() FROM PUBLIC;

-- Name: FUNCTION capture_send_queue_insert(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_send_queue_insert() FROM PUBLIC;

-- Name: FUNCTION capture_send_queue_truncate(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_send_queue_truncate() FROM PUBLIC;

-- Name: FUNCTION capture_send_queue_update(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_send_queue_update() FROM PUBLIC;

-- Name: FUNCTION capture_spec(p_table regclass, p_entity name, p_scope name, p_keys name[], p_watch name[], p_only_column name, p_only_value text, p_left name[], p_reads name[], p_others name[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_spec(p_table regclass, p_entity name, p_scope name, p_keys name[], p_watch name[], p_only_column name, p_only_value text, p_left name[], p_reads name[], p_others name[]) FROM PUBLIC;

-- Name: FUNCTION capture_table(p_source text, p_specs jsonb, OUT made integer, OUT missed text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_table(p_source text, p_specs jsonb, OUT made integer, OUT missed text[]) FROM PUBLIC;

-- Name: FUNCTION capture_union(p_source text, p_specs jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_union(p_source text, p_specs jsonb) FROM PUBLIC;

-- Name: FUNCTION change_width(p_entity_id text, p_scope text, p_data jsonb, p_cause text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.change_width(p_entity_id text, p_scope text, p_data jsonb, p_cause text) FROM PUBLIC;

-- Name: FUNCTION changes_behind(p_most bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.changes_behind(p_most bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.changes_behind(p_most bigint) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.changes_behind(p_most bigint) TO headrace_worker;

-- Name: TABLE stream_cursor; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.stream_cursor TO headrace_worker;

-- Name: FUNCTION changes_that_fit(p_sources text[], p_shards integer, c headrace.stream_cursor, p_committed xid8[], p_limit integer, OUT last_pos bigint, OUT first_width bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.changes_that_fit(p_sources text[], p_shards integer, c headrace.stream_cursor, p_committed xid8[], p_limit integer, OUT last_pos bigint, OUT first_width bigint) FROM PUBLIC;

-- Name: FUNCTION check_frozen_rows(p_campaign_id uuid, p_before jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.check_frozen_rows(p_campaign_id uuid, p_before jsonb) FROM PUBLIC;

-- Name: FUNCTION clean_json(p_text text, p_ascii boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.clean_json(p_text text, p_ascii boolean) FROM PUBLIC;

-- Name: FUNCTION count_messages(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.count_messages(p_campaigns uuid[]) FROM PUBLIC;

-- Name: FUNCTION count_straight(p_campaigns uuid[], p_large boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.count_straight(p_campaigns uuid[], p_large boolean) FROM PUBLIC;

-- Name: FUNCTION counters_json(p_total bigint, p_sent bigint, p_delivered bigint, p_read bigint, p_replied bigint, p_failed bigint, p_failed_queue bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.counters_json(p_total bigint, p_sent bigint, p_delivered bigint, p_read bigint, p_replied bigint, p_failed bigint, p_failed_queue bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.counters_json(p_total bigint, p_sent bigint, p_delivered bigint, p_read bigint, p_replied bigint, p_failed bigint, p_failed_queue bigint) TO headrace_worker;

-- Name: FUNCTION dead_letter_discard(p_ids bigint[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.dead_letter_discard(p_ids bigint[]) FROM PUBLIC;

-- Name: FUNCTION dead_letter_next_try(p_attempts integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.dead_letter_next_try(p_attempts integer) FROM PUBLIC;

-- Name: FUNCTION dead_letter_retry(p_ids bigint[], p_due boolean, OUT applied integer, OUT failed integer, OUT rest bigint[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.dead_letter_retry(p_ids bigint[], p_due boolean, OUT applied integer, OUT failed integer, OUT rest bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.dead_letter_retry(p_ids bigint[], p_due boolean, OUT applied integer, OUT failed integer, OUT rest bigint[]) TO headrace_worker;

-- Name: FUNCTION default_is_large(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.default_is_large() FROM PUBLIC;

-- Name: FUNCTION discard_webhook_rejects(p_ids bigint[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.discard_webhook_rejects(p_ids bigint[]) FROM PUBLIC;

-- Name: TABLE campaign_computed_stats; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_computed_stats TO headrace_reader;
GRANT SELECT ON TABLE headrace.campaign_computed_stats TO headrace_app;
GRANT SELECT ON TABLE headrace.campaign_computed_stats TO headrace_worker;

-- Name: FUNCTION document_json(p_facts jsonb, p_document headrace.campaign_computed_stats); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.document_json(p_facts jsonb, p_document headrace.campaign_computed_stats) FROM PUBLIC;

-- Name: FUNCTION drop_capture(p_source text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.drop_capture(p_source text) FROM PUBLIC;

-- Name: FUNCTION drop_change_log_partition(p_day date, p_lost_after interval); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.drop_change_log_partition(p_day date, p_lost_after interval) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.drop_change_log_partition(p_day date, p_lost_after interval) TO headrace_worker;

-- Name: FUNCTION enter_state(p_campaigns uuid[], p_states text[], p_status text, p_facts jsonb, p_source_rows jsonb, p_by_hand boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.enter_state(p_campaigns uuid[], p_states text[], p_status text, p_facts jsonb, p_source_rows jsonb, p_by_hand boolean) FROM PUBLIC;

-- Name: FUNCTION expire_default_changes(p_retention interval, p_lost_after interval, p_after bigint, p_limit integer, OUT deleted bigint, OUT last_pos bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.expire_default_changes(p_retention interval, p_lost_after interval, p_after bigint, p_limit integer, OUT deleted bigint, OUT last_pos bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.expire_default_changes(p_retention interval, p_lost_after interval, p_after bigint, p_limit integer, OUT deleted bigint, OUT last_pos bigint) TO headrace_worker;

-- Name: FUNCTION expired_change_log_days(p_retention interval); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.expired_change_log_days(p_retention interval) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.expired_change_log_days(p_retention interval) TO headrace_worker;

-- Name: FUNCTION fence_change_log_default(p_first date, p_last date); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.fence_change_log_default(p_first date, p_last date) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.fence_change_log_default(p_first date, p_last date) TO headrace_worker;

-- Name: FUNCTION final_days(p_assets text[], p_first date, p_last date); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.final_days(p_assets text[], p_first date, p_last date) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.final_days(p_assets text[], p_first date, p_last date) TO headrace_worker;

-- Name: FUNCTION first_fenceable_moment(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.first_fenceable_moment() FROM PUBLIC;

-- Name: FUNCTION fold_messages(p_messages text[], p_campaigns uuid[], p_late text[], p_recounted uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.fold_messages(p_messages text[], p_campaigns uuid[], p_late text[], p_recounted uuid[]) FROM PUBLIC;

-- Name: FUNCTION forget_old_workers(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.forget_old_workers() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.forget_old_workers() TO headrace_worker;

-- Name: FUNCTION freeze_campaign(p_campaign_id uuid, p_status text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.freeze_campaign(p_campaign_id uuid, p_status text) FROM PUBLIC;

-- Name: FUNCTION freeze_campaigns(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.freeze_campaigns(p_campaigns uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.freeze_campaigns(p_campaigns uuid[]) TO headrace_worker;

-- Name: FUNCTION get_campaign_template_stats(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.get_campaign_template_stats(p_campaign_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.get_campaign_template_stats(p_campaign_id uuid) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.get_campaign_template_stats(p_campaign_id uuid) TO headrace_app;
GRANT ALL ON FUNCTION headrace.get_campaign_template_stats(p_campaign_id uuid) TO headrace_worker;

-- Name: FUNCTION held_up(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.held_up() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.held_up() TO headrace_worker;

-- Name: FUNCTION ingest_whatsapp_webhook(p_body jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) TO headrace_app;
GRANT ALL ON FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) TO headrace_worker;

-- Name: FUNCTION ingest_whatsapp_webhook_text(p_body text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.ingest_whatsapp_webhook_text(p_body text) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.ingest_whatsapp_webhook_text(p_body text) TO headrace_app;
GRANT ALL ON FUNCTION headrace.ingest_whatsapp_webhook_text(p_body text) TO headrace_worker;

-- Name: FUNCTION is_data_error(p_code text, p_message text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.is_data_error(p_code text, p_message text) FROM PUBLIC;

-- Name: FUNCTION is_other_webhook_field(p_field text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.is_other_webhook_field(p_field text) FROM PUBLIC;

-- Name: FUNCTION is_passing_error(p_code text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.is_passing_error(p_code text) FROM PUBLIC;

-- Name: FUNCTION keep_before_fence(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.keep_before_fence() FROM PUBLIC;

-- Name: FUNCTION keep_webhook_rejects(p_items jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.keep_webhook_rejects(p_items jsonb) FROM PUBLIC;

-- Name: FUNCTION latency_block(p_seconds integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.latency_block(p_seconds integer) FROM PUBLIC;

-- Name: FUNCTION latency_median(p_campaign_id uuid, p_kind "char"); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.latency_median(p_campaign_id uuid, p_kind "char") FROM PUBLIC;

-- Name: FUNCTION latency_seconds(p_from timestamp with time zone, p_to timestamp with time zone); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.latency_seconds(p_from timestamp with time zone, p_to timestamp with time zone) FROM PUBLIC;

-- Name: FUNCTION lifecycle_state(p_state text, p_status text, p_frozen_status text, p_settles_until timestamp with time zone, p_now timestamp with time zone); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.lifecycle_state(p_state text, p_status text, p_frozen_status text, p_settles_until timestamp with time zone, p_now timestamp with time zone) FROM PUBLIC;

-- Name: FUNCTION list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer) TO headrace_app;
GRANT ALL ON FUNCTION headrace.list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer) TO headrace_worker;

-- Name: FUNCTION list_readable_campaigns(p_user_id uuid, p_at timestamp with time zone, p_id uuid, p_last uuid, p_limit integer, p_paused text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.list_readable_campaigns(p_user_id uuid, p_at timestamp with time zone, p_id uuid, p_last uuid, p_limit integer, p_paused text) FROM PUBLIC;

-- Name: FUNCTION listed_template(p_name text, p_md5 uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.listed_template(p_name text, p_md5 uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.listed_template(p_name text, p_md5 uuid) TO headrace_worker;

-- Name: FUNCTION live_counters(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.live_counters(p_campaign_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.live_counters(p_campaign_id uuid) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.live_counters(p_campaign_id uuid) TO headrace_app;
GRANT ALL ON FUNCTION headrace.live_counters(p_campaign_id uuid) TO headrace_worker;

-- Name: FUNCTION live_stats(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.live_stats(p_campaign_id uuid) FROM PUBLIC;

-- Name: FUNCTION lock_campaigns(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.lock_campaigns(p_campaigns uuid[]) FROM PUBLIC;

-- Name: FUNCTION lock_webhook_buckets(p_buckets smallint[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.lock_webhook_buckets(p_buckets smallint[]) FROM PUBLIC;

-- Name: FUNCTION log_change_anew(p_source text, p_op "char", p_old jsonb, p_new jsonb, p_spec jsonb, p_cause text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.log_change_anew(p_source text, p_op "char", p_old jsonb, p_new jsonb, p_spec jsonb, p_cause text) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.log_change_anew(p_source text, p_op "char", p_old jsonb, p_new jsonb, p_spec jsonb, p_cause text) TO headrace_capture;

-- Name: FUNCTION merge_counts(INOUT vals integer[], INOUT counts integer[], p_more_values integer[], p_more_counts integer[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.merge_counts(INOUT vals integer[], INOUT counts integer[], p_more_values integer[], p_more_counts integer[]) FROM PUBLIC;

-- Name: FUNCTION message_bits(p_queue_status text, p_evidence integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.message_bits(p_queue_status text, p_evidence integer) FROM PUBLIC;

-- Name: FUNCTION message_outcome_live(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.message_outcome_live() FROM PUBLIC;

-- Name: FUNCTION missing_change_log_days(p_ahead integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.missing_change_log_days(p_ahead integer) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.missing_change_log_days(p_ahead integer) TO headrace_worker;

-- Name: FUNCTION missing_source_rows(p_then jsonb, p_now jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.missing_source_rows(p_then jsonb, p_now jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.missing_source_rows(p_then jsonb, p_now jsonb) TO headrace_worker;

-- Name: FUNCTION most_listed_templates(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.most_listed_templates() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.most_listed_templates() TO headrace_worker;

-- Name: FUNCTION new_webhook_items(p_items jsonb, OUT items jsonb, OUT statuses bigint, OUT messages bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.new_webhook_items(p_items jsonb, OUT items jsonb, OUT statuses bigint, OUT messages bigint) FROM PUBLIC;

-- Name: FUNCTION note_altered_source(p_source text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.note_altered_source(p_source text) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.note_altered_source(p_source text) TO headrace_worker;

-- Name: FUNCTION note_source(p_source text, p_table oid, p_columns text[], p_triggers jsonb, p_functions jsonb, p_specs jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.note_source(p_source text, p_table oid, p_columns text[], p_triggers jsonb, p_functions jsonb, p_specs jsonb) FROM PUBLIC;

-- Name: FUNCTION noted_interval(p_name text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.noted_interval(p_name text) FROM PUBLIC;

-- Name: FUNCTION oldest_writer(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.oldest_writer() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.oldest_writer() TO headrace_owner;
GRANT ALL ON FUNCTION headrace.oldest_writer() TO headrace_reader;
GRANT ALL ON FUNCTION headrace.oldest_writer() TO headrace_worker;

-- Name: FUNCTION orphaned_statuses(p_older_than interval, p_examples integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.orphaned_statuses(p_older_than interval, p_examples integer) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.orphaned_statuses(p_older_than interval, p_examples integer) TO headrace_worker;

-- Name: FUNCTION outcomes_by_message(p_messages text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.outcomes_by_message(p_messages text[]) FROM PUBLIC;

-- Name: FUNCTION pack_hours(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.pack_hours(p_campaign_id uuid) FROM PUBLIC;

-- Name: FUNCTION queue_new_campaigns(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.queue_new_campaigns() FROM PUBLIC;

-- Name: FUNCTION raise_unreadable(p_sources text[], p_state text, p_message text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.raise_unreadable(p_sources text[], p_state text, p_message text) FROM PUBLIC;

-- Name: FUNCTION readable_campaigns(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.readable_campaigns(p_campaigns uuid[]) FROM PUBLIC;

-- Name: FUNCTION rebase_stream(p_stream text, p_shards integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebase_stream(p_stream text, p_shards integer) FROM PUBLIC;

-- Name: FUNCTION rebuild_campaign_stats(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_campaign_stats(p_campaigns uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.rebuild_campaign_stats(p_campaigns uuid[]) TO headrace_worker;

-- Name: FUNCTION rebuild_days(OUT campaigns bigint, OUT first_day date, OUT last_day date); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_days(OUT campaigns bigint, OUT first_day date, OUT last_day date) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.rebuild_days(OUT campaigns bigint, OUT first_day date, OUT last_day date) TO headrace_worker;

-- Name: FUNCTION rebuild_frozen(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_frozen(p_campaign_id uuid) FROM PUBLIC;

-- Name: FUNCTION rebuild_items(p_items text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_items(p_items text[]) FROM PUBLIC;

-- Name: FUNCTION rebuild_pick(p_messages bigint, p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_pick(p_messages bigint, p_patient boolean) FROM PUBLIC;

-- Name: FUNCTION rebuild_put_off(p_items text[], p_code text, p_error text, p_seconds double precision); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_put_off(p_items text[], p_code text, p_error text, p_seconds double precision) FROM PUBLIC;

-- Name: FUNCTION rebuild_step(p_messages bigint, p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_step(p_messages bigint, p_patient boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.rebuild_step(p_messages bigint, p_patient boolean) TO headrace_worker;

-- Name: FUNCTION rebuild_unfrozen(p_campaigns uuid[], p_large boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_unfrozen(p_campaigns uuid[], p_large boolean) FROM PUBLIC;

-- Name: FUNCTION rebuilds_pending(p_patient boolean, p_most bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuilds_pending(p_patient boolean, p_most bigint) FROM PUBLIC;

-- Name: FUNCTION record_activity(p_assets text[], p_days date[], p_rows bigint[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.record_activity(p_assets text[], p_days date[], p_rows bigint[]) FROM PUBLIC;

-- Name: FUNCTION recount_large(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.recount_large(p_campaign_id uuid) FROM PUBLIC;

-- Name: FUNCTION refresh_documents(p_campaigns uuid[], p_frozen boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.refresh_documents(p_campaigns uuid[], p_frozen boolean) FROM PUBLIC;

-- Name: FUNCTION refresh_unfrozen_documents(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.refresh_unfrozen_documents(p_campaigns uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.refresh_unfrozen_documents(p_campaigns uuid[]) TO headrace_worker;

-- Name: FUNCTION refuse_webhook_isolation(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.refuse_webhook_isolation() FROM PUBLIC;

-- Name: FUNCTION register_stream(p_stream text, p_sources text[], p_handler text, p_shards integer, p_ordered boolean, p_rebuild_step text, p_rebuilds_pending text, p_rebuild_all text, p_rows_left text, p_rebuild_pick text, p_rebuild_items text, p_rebuild_put_off text, p_domain text, p_rebuild_new text, p_on_setting jsonb, p_unit text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.register_stream(p_stream text, p_sources text[], p_handler text, p_shards integer, p_ordered boolean, p_rebuild_step text, p_rebuilds_pending text, p_rebuild_all text, p_rows_left text, p_rebuild_pick text, p_rebuild_items text, p_rebuild_put_off text, p_domain text, p_rebuild_new text, p_on_setting jsonb, p_unit text) FROM PUBLIC;

-- Name: FUNCTION remove_default_fence(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.remove_default_fence() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.remove_default_fence() TO headrace_worker;

-- Name: FUNCTION reopen_campaigns(p_campaigns uuid[], p_accept_fewer_rows boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.reopen_campaigns(p_campaigns uuid[], p_accept_fewer_rows boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.reopen_campaigns(p_campaigns uuid[], p_accept_fewer_rows boolean) TO headrace_worker;

-- Name: FUNCTION reply_window(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.reply_window() FROM PUBLIC;

-- Name: FUNCTION request_amendments(p_campaigns uuid[], p_messages text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.request_amendments(p_campaigns uuid[], p_messages text[]) FROM PUBLIC;

-- Name: FUNCTION request_rebuild(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.request_rebuild(p_campaigns uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.request_rebuild(p_campaigns uuid[]) TO headrace_worker;

-- Name: FUNCTION request_rebuild_of_unfrozen(p_source text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.request_rebuild_of_unfrozen(p_source text) FROM PUBLIC;

-- Name: FUNCTION retry_webhook_rejects(p_ids bigint[], p_any_type boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.retry_webhook_rejects(p_ids bigint[], p_any_type boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.retry_webhook_rejects(p_ids bigint[], p_any_type boolean) TO headrace_worker;

-- Name: FUNCTION settle_anew(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.settle_anew() FROM PUBLIC;

-- Name: FUNCTION settle_campaigns(p_campaigns uuid[], p_noticed boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.settle_campaigns(p_campaigns uuid[], p_noticed boolean) FROM PUBLIC;

-- Name: FUNCTION settle_window(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.settle_window() FROM PUBLIC;

-- Name: FUNCTION source_campaign_ids(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_campaign_ids() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.source_campaign_ids() TO headrace_reader;
GRANT ALL ON FUNCTION headrace.source_campaign_ids() TO headrace_app;
GRANT ALL ON FUNCTION headrace.source_campaign_ids() TO headrace_worker;

-- Name: FUNCTION source_columns(p_table oid, p_columns text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_columns(p_table oid, p_columns text[]) FROM PUBLIC;

-- Name: FUNCTION source_holds(p_source text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_holds(p_source text) FROM PUBLIC;

-- Name: FUNCTION source_mark(p_schema name, p_table name, p_columns text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_mark(p_schema name, p_table name, p_columns text[]) FROM PUBLIC;

-- Name: FUNCTION source_parts(p_table oid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_parts(p_table oid) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.source_parts(p_table oid) TO headrace_worker;

-- Name: FUNCTION source_problems(p_sources text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_problems(p_sources text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.source_problems(p_sources text[]) TO headrace_worker;

-- Name: FUNCTION source_row_counts(p_campaign_id uuid, p_like jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_row_counts(p_campaign_id uuid, p_like jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.source_row_counts(p_campaign_id uuid, p_like jsonb) TO headrace_worker;

-- Name: FUNCTION source_storage(p_table oid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_storage(p_table oid) FROM PUBLIC;

-- Name: FUNCTION source_values(p_table text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_values(p_table text) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.source_values(p_table text) TO headrace_worker;

-- Name: FUNCTION stats_differences(p_old_templates jsonb, p_old_totals jsonb, p_new_templates jsonb, p_new_totals jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stats_differences(p_old_templates jsonb, p_old_totals jsonb, p_new_templates jsonb, p_new_totals jsonb) FROM PUBLIC;

-- Name: FUNCTION status_bits(p_status text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.status_bits(p_status text) FROM PUBLIC;

-- Name: FUNCTION stg_campaign_contacts(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stg_campaign_contacts() FROM PUBLIC;

-- Name: FUNCTION stg_campaigns(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stg_campaigns() FROM PUBLIC;

-- Name: FUNCTION stg_incoming_messages(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stg_incoming_messages() FROM PUBLIC;

-- Name: FUNCTION stg_message_status_logs(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stg_message_status_logs() FROM PUBLIC;

-- Name: FUNCTION stg_send_queue(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stg_send_queue() FROM PUBLIC;

-- Name: FUNCTION store_counts(p_campaigns uuid[], p_live boolean, p_outcomes headrace.outcome_change[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.store_counts(p_campaigns uuid[], p_live boolean, p_outcomes headrace.outcome_change[]) FROM PUBLIC;

-- Name: FUNCTION store_webhook_items(p_items jsonb, OUT statuses bigint, OUT messages bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.store_webhook_items(p_items jsonb, OUT statuses bigint, OUT messages bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.store_webhook_items(p_items jsonb, OUT statuses bigint, OUT messages bigint) TO headrace_owner;

-- Name: FUNCTION stray_changes(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stray_changes() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stray_changes() TO headrace_worker;

-- Name: FUNCTION stream_poll(p_streams text[], p_patient boolean, p_look boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_poll(p_streams text[], p_patient boolean, p_look boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_poll(p_streams text[], p_patient boolean, p_look boolean) TO headrace_worker;

-- Name: FUNCTION stream_read(p_stream text, p_shard integer, p_limit integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_read(p_stream text, p_shard integer, p_limit integer) FROM PUBLIC;

-- Name: FUNCTION stream_rebuild(p_stream text, p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_rebuild(p_stream text, p_patient boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_rebuild(p_stream text, p_patient boolean) TO headrace_worker;

-- Name: FUNCTION stream_rebuild_items(p_stream text, p_items text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_rebuild_items(p_stream text, p_items text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_rebuild_items(p_stream text, p_items text[]) TO headrace_worker;

-- Name: FUNCTION stream_rebuild_pick(p_stream text, p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_rebuild_pick(p_stream text, p_patient boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_rebuild_pick(p_stream text, p_patient boolean) TO headrace_worker;

-- Name: FUNCTION stream_rebuild_put_off(p_stream text, p_items text[], p_code text, p_error text, p_seconds double precision); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_rebuild_put_off(p_stream text, p_items text[], p_code text, p_error text, p_seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_rebuild_put_off(p_stream text, p_items text[], p_code text, p_error text, p_seconds double precision) TO headrace_worker;

-- Name: FUNCTION stream_rebuilds(p_streams text[], p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_rebuilds(p_streams text[], p_patient boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_rebuilds(p_streams text[], p_patient boolean) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.stream_rebuilds(p_streams text[], p_patient boolean) TO headrace_worker;

-- Name: FUNCTION stream_step(p_stream text, p_shard integer, p_limit integer, p_isolate boolean, OUT status text, OUT changes integer, OUT dead_letters integer, OUT more boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_step(p_stream text, p_shard integer, p_limit integer, p_isolate boolean, OUT status text, OUT changes integer, OUT dead_letters integer, OUT more boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_step(p_stream text, p_shard integer, p_limit integer, p_isolate boolean, OUT status text, OUT changes integer, OUT dead_letters integer, OUT more boolean) TO headrace_worker;

-- Name: FUNCTION take_moved_messages(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.take_moved_messages(p_campaign_id uuid) FROM PUBLIC;

-- Name: FUNCTION take_webhook_items(p_items jsonb, p_statuses bigint, p_messages bigint, p_buckets smallint[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.take_webhook_items(p_items jsonb, p_statuses bigint, p_messages bigint, p_buckets smallint[]) FROM PUBLIC;

-- Name: FUNCTION template_key(p_name text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.template_key(p_name text) FROM PUBLIC;

-- Name: FUNCTION template_md5(p_key text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.template_md5(p_key text) FROM PUBLIC;

-- Name: FUNCTION template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_app;
GRANT ALL ON FUNCTION headrace.template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_worker;

-- Name: FUNCTION templates_json(p_templates bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.templates_json(p_templates bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.templates_json(p_templates bigint) TO headrace_worker;

-- Name: FUNCTION touch_day(p_campaign_id uuid, p_assets text[], p_rows bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.touch_day(p_campaign_id uuid, p_assets text[], p_rows bigint) FROM PUBLIC;

-- Name: FUNCTION touched_messages(p_changes headrace.change_log[], OUT messages text[], OUT campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.touched_messages(p_changes headrace.change_log[], OUT messages text[], OUT campaigns uuid[]) FROM PUBLIC;

-- Name: FUNCTION unpack_hours(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.unpack_hours(p_campaign_id uuid) FROM PUBLIC;

-- Name: FUNCTION unreadable(p_sources text[], p_state text, p_message text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.unreadable(p_sources text[], p_state text, p_message text) FROM PUBLIC;

-- Name: FUNCTION validate_default_fence(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.validate_default_fence() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.validate_default_fence() TO headrace_worker;

-- Name: FUNCTION webhook_items(p_body jsonb, p_any_type boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.webhook_items(p_body jsonb, p_any_type boolean) FROM PUBLIC;

-- Name: FUNCTION webhook_notice(p_item jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.webhook_notice(p_item jsonb) FROM PUBLIC;

-- Name: FUNCTION webhook_reject_body(p_path text, p_item jsonb, p_number_id text, p_sender text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.webhook_reject_body(p_path text, p_item jsonb, p_number_id text, p_sender text) FROM PUBLIC;

-- Name: FUNCTION webhook_sender(p_item jsonb, p_contacts jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.webhook_sender(p_item jsonb, p_contacts jsonb) FROM PUBLIC;

-- Name: FUNCTION webhook_time_problem(p_timestamp jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.webhook_time_problem(p_timestamp jsonb) FROM PUBLIC;

-- Name: FUNCTION webhook_unknown_type(p_item jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.webhook_unknown_type(p_item jsonb) FROM PUBLIC;

-- Name: FUNCTION webhook_value_items(p_path text, p_value jsonb, p_enveloped boolean, p_any_type boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.webhook_value_items(p_path text, p_value jsonb, p_enveloped boolean, p_any_type boolean) FROM PUBLIC;

-- Name: FUNCTION whole_template_name(p_key text, p_message_id text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.whole_template_name(p_key text, p_message_id text) FROM PUBLIC;

-- Name: FUNCTION worker_heartbeat(p_worker_id text, p_hostname text, p_pid integer, p_state text, p_streams text[], p_changes_applied bigint, p_last_error text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.worker_heartbeat(p_worker_id text, p_hostname text, p_pid integer, p_state text, p_streams text[], p_changes_applied bigint, p_last_error text) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.worker_heartbeat(p_worker_id text, p_hostname text, p_pid integer, p_state text, p_streams text[], p_changes_applied bigint, p_last_error text) TO headrace_worker;

-- Name: TABLE activity; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.activity TO headrace_reader;
GRANT SELECT ON TABLE headrace.activity TO headrace_worker;

-- Name: TABLE campaign; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign TO headrace_worker;

-- Name: TABLE campaign_completion; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_completion TO headrace_worker;

-- Name: TABLE campaign_hourly_stats; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_hourly_stats TO headrace_reader;
GRANT SELECT ON TABLE headrace.campaign_hourly_stats TO headrace_app;
GRANT SELECT ON TABLE headrace.campaign_hourly_stats TO headrace_worker;

-- Name: TABLE campaign_stats_pending_amendment; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_stats_pending_amendment TO headrace_worker;

-- Name: TABLE campaign_template_stats; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_template_stats TO headrace_reader;
GRANT SELECT ON TABLE headrace.campaign_template_stats TO headrace_app;
GRANT SELECT ON TABLE headrace.campaign_template_stats TO headrace_worker;

-- Name: TABLE campaign_standing; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_standing TO headrace_worker;

-- Name: TABLE campaign_stats_amendment; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_stats_amendment TO headrace_reader;
GRANT SELECT ON TABLE headrace.campaign_stats_amendment TO headrace_app;
GRANT SELECT ON TABLE headrace.campaign_stats_amendment TO headrace_worker;

-- Name: TABLE campaign_template_stats_live; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_template_stats_live TO headrace_reader;
GRANT SELECT ON TABLE headrace.campaign_template_stats_live TO headrace_app;
GRANT SELECT ON TABLE headrace.campaign_template_stats_live TO headrace_worker;

-- Name: TABLE dead_letter; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.dead_letter TO headrace_worker;

-- Name: TABLE document_agreement; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.document_agreement TO headrace_worker;

-- Name: TABLE document_faults; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.document_faults TO headrace_worker;

-- Name: TABLE installation; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.installation TO headrace_worker;

-- Name: TABLE source; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.source TO headrace_worker;

-- Name: TABLE stream; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.stream TO headrace_reader;
GRANT SELECT ON TABLE headrace.stream TO headrace_worker;

-- Name: TABLE stream_lag; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.stream_lag TO headrace_reader;
GRANT SELECT ON TABLE headrace.stream_lag TO headrace_worker;

-- Name: TABLE webhook_reject; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.webhook_reject TO headrace_worker;

-- Name: TABLE worker; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.worker TO headrace_reader;
GRANT SELECT ON TABLE headrace.worker TO headrace_worker;

-- PostgreSQL database dump complete
