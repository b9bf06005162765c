-- PostgreSQL database dump

-- Name: headrace; Type: SCHEMA; Schema: -; Owner: -

CREATE SCHEMA headrace;

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
    SET lock_timeout TO '100ms'
    AS $_$
DECLARE
    v_name constant text := 'change_log_' || to_char(p_day, 'YYYYMMDD');
    v_from constant timestamptz := p_day::timestamp AT TIME ZONE 'UTC';
    v_to constant timestamptz := (p_day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    -- What ATTACH takes below, but before looking: of two that make the partition at once, one waits and then finds it.
    LOCK TABLE ONLY headrace.change_log IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass('headrace.' || v_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE headrace.%I (LIKE headrace.change_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', v_name);
    -- Without a key: a publication of all tables would otherwise refuse to move or delete its rows.
    EXECUTE format('ALTER TABLE headrace.%I REPLICA IDENTITY FULL', v_name);
    EXECUTE format('ALTER TABLE headrace.%I ADD CONSTRAINT %I CHECK (changed_at >= %L AND changed_at < %L)', v_name, v_name || '_day', v_from, v_to);
    IF EXISTS (SELECT FROM headrace.change_log_default WHERE changed_at >= v_from AND changed_at < v_to) THEN
        LOCK TABLE headrace.change_log_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format(
            'WITH moved AS (DELETE FROM headrace.change_log_default WHERE changed_at >= $1 AND changed_at < $2 RETURNING *)'
            || ' INSERT INTO headrace.%I SELECT * FROM moved', v_name) USING v_from, v_to;
    END IF;
    EXECUTE format('ALTER TABLE headrace.change_log ATTACH PARTITION headrace.%I FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_to);
    EXECUTE format('ALTER TABLE headrace.%I DROP CONSTRAINT %I', v_name, v_name || '_day');
    RETURN true;
END
$_$;

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
    -- Without a document there is nothing to amend: it is counted anew, and frozen again if it is completed.
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
    v_wrong := headrace.store_counts(p_campaign_id, true);
    -- Rows that went after the first look at how many there are may be missing in this count: they were forgotten, not taken back.
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
    -- The numbers of the series are frozen too: where only they change, they are what the record says.
    SELECT jsonb_agg(jsonb_build_object('hour', hour, 'counter', c.key, 'from', c.was, 'to', c.now) ORDER BY hour, c.key)
    INTO v_moved
    FROM unnest(v_series) o FULL JOIN (SELECT h.* FROM headrace.campaign_hour h WHERE h.campaign_id = p_campaign_id) n USING (hour)
    CROSS JOIN LATERAL (VALUES
        ('sent', coalesce(o.sent, 0), coalesce(n.sent, 0)), ('delivered', coalesce(o.delivered, 0), coalesce(n.delivered, 0)),
        ('read', coalesce(o.read, 0), coalesce(n.read, 0)), ('replied', coalesce(o.replied, 0), coalesce(n.replied, 0))
    ) c (key, was, now)
    WHERE c.was <> c.now;
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
        -- The rebuild that follows adds outcomes, and with them counters, to nothing.
        DELETE FROM headrace.campaign_template_stats t WHERE t.campaign_id = p_campaign_id;
        DELETE FROM headrace.campaign_hour h WHERE h.campaign_id = p_campaign_id;
        DELETE FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id;
        UPDATE headrace.campaign c SET
            state = 'live', frozen_status = NULL, source_rows = NULL, late_messages = NULL,
            reopened_at = CASE WHEN p_reopen THEN clock_timestamp() END
        WHERE c.campaign_id = p_campaign_id;
        UPDATE headrace.campaign_computed_stats s SET frozen_at = NULL, facts = NULL, deleted_at = NULL, state = 'live'
        WHERE s.campaign_id = p_campaign_id;
        RETURN v_wrong;
    END IF;
    DELETE FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id;
    PERFORM headrace.pack_hours(p_campaign_id);
    UPDATE headrace.campaign_computed_stats s SET
        state = CASE WHEN s.version > d.version THEN 'amended' ELSE k.state END,
        frozen_at = CASE WHEN s.version = d.version AND s.frozen_at IS NOT NULL THEN s.frozen_at ELSE clock_timestamp() END, deleted_at = NULL
    WHERE s.campaign_id = p_campaign_id;
    UPDATE headrace.campaign c SET
        state = s.state, last_version = s.version, source_rows = v_rows_after, late_messages = NULL
    FROM headrace.campaign_computed_stats s
    WHERE c.campaign_id = p_campaign_id AND s.campaign_id = p_campaign_id;
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
        FROM headrace.campaign_stats_pending_amendment p LEFT JOIN headrace.stg_campaigns c ON c.campaign_id = p.campaign_id
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

-- Name: apply_outcomes(headrace.outcome_change[], uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.apply_outcomes(p_changes headrace.outcome_change[], p_recounted uuid DEFAULT NULL::uuid) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_expected bigint;
    v_inserted bigint;
    v_campaigns uuid[];
    v_added headrace.outcome_change[] := p_changes;  -- what counters get
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
                nullif(d.old_campaign, p_recounted), d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at,
                nullif(d.new_campaign, p_recounted), d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
            )::headrace.outcome_change
            FROM unnest(p_changes) d WHERE d.old_campaign <> p_recounted OR d.new_campaign <> p_recounted);
    END IF;
    WITH delta AS (
        SELECT
            x.campaign_id, x.template_name,
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
        WHERE s.campaign_id = d.campaign_id AND s.template_name IS NOT DISTINCT FROM d.template_name
        RETURNING s.campaign_id
    ), made AS (
        INSERT INTO headrace.campaign_template_stats
            (campaign_id, template_name, total, sent, delivered, read, replied, failed, failed_queue)
        SELECT
            d.campaign_id, d.template_name, d.total, coalesce(d.sent, 0), coalesce(d.delivered, 0), coalesce(d.read, 0),
            coalesce(d.replied, 0), coalesce(d.failed, 0), coalesce(d.failed_queue, 0)
        FROM delta d
        WHERE NOT EXISTS (
            SELECT FROM headrace.campaign_template_stats s
            WHERE s.campaign_id = d.campaign_id AND s.template_name IS NOT DISTINCT FROM d.template_name)
        RETURNING campaign_id
    )
    SELECT array_agg(DISTINCT u.campaign_id) INTO v_campaigns
    FROM (SELECT campaign_id FROM added UNION ALL SELECT campaign_id FROM made) u;
    v_campaigns := v_campaigns || headrace.apply_times(v_added);
    DELETE FROM headrace.campaign_template_stats s WHERE s.campaign_id = ANY (v_campaigns) AND s.total = 0;

    PERFORM headrace.refresh_documents(v_campaigns);
    PERFORM headrace.record_activity(
        ARRAY['campaign_template_stats', 'campaign_computed_stats'], array_agg(a.day), array_agg(a.n))
    FROM (
        SELECT (c.created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n
        FROM unnest(p_changes) d INNER JOIN headrace.stg_campaigns c ON c.campaign_id = coalesce(d.new_campaign, d.old_campaign)
        -- days that are partitions can be, and that clients can read
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
    SELECT array_agg(DISTINCT a.campaign_id) FILTER (WHERE (a.sent, a.delivered, a.read, a.replied) = (0, 0, 0, 0)) INTO v_campaigns FROM added a;
    IF v_campaigns IS NOT NULL THEN
        DELETE FROM headrace.campaign_hour h
        WHERE h.campaign_id = ANY (v_campaigns) AND (h.sent, h.delivered, h.read, h.replied) = (0, 0, 0, 0);
    END IF;

    -- Not by VALUES: their expressions are prepared anew for every row.
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

-- Name: campaign_contact_distribution(uuid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.campaign_contact_distribution(p_campaign_id uuid) RETURNS TABLE(template_name text, assigned bigint, queued bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT u.template_name, count(*) FILTER (WHERE u.assigned), count(*) FILTER (WHERE NOT u.assigned)
    FROM (
        SELECT k.template_name, true AS assigned FROM headrace.stg_campaign_contacts k WHERE k.campaign_id = p_campaign_id
        UNION ALL
        SELECT q.template_name, false FROM headrace.stg_send_queue q WHERE q.campaign_id = p_campaign_id
    ) u
    GROUP BY u.template_name
    ORDER BY u.template_name
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
    d headrace.campaign_computed_stats;
BEGIN
    SELECT
        c.status, k.state,
        jsonb_build_object(
            'campaign_id', c.campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
    INTO v_status, v_state, v_facts
    FROM headrace.stg_campaigns c LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
    WHERE c.campaign_id = p_campaign_id;
    IF NOT FOUND THEN
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id AND s.frozen_at IS NOT NULL;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        RETURN headrace.document_json(d.facts, d);
    END IF;
    IF v_state IN ('live', 'settling', 'frozen', 'amended') AND (v_state IN ('frozen', 'amended') OR coalesce(v_status, '') NOT IN ('scheduled', 'failed')) THEN
        SELECT * INTO d FROM headrace.campaign_computed_stats s WHERE s.campaign_id = p_campaign_id;
        IF FOUND THEN
            RETURN headrace.document_json(v_facts, d);
        END IF;
    END IF;
    IF v_status IN ('scheduled', 'failed') THEN
        RETURN v_facts || jsonb_build_object(
            'source', 'none', 'state', NULL, 'version', NULL, 'computed_at', NULL, 'age_seconds', NULL, 'frozen_at', NULL, 'deleted_at', NULL,
            'totals', NULL, 'template_stats', NULL);
    END IF;
    RETURN v_facts || jsonb_build_object(
        'source', 'live', 'state', 'live', 'version', NULL, 'computed_at', clock_timestamp(), 'age_seconds', 0, 'frozen_at', NULL, 'deleted_at', NULL
    ) || headrace.live_stats(p_campaign_id);
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

COMMENT ON COLUMN headrace.change_log.op IS 'I inserted, U updated, D deleted, T truncated: then the row stands for a whole table.';

-- Name: campaign_stats_apply(headrace.change_log[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.campaign_stats_apply(p_changes headrace.change_log[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_emptied boolean;
    v_named uuid[];
    v_renewed uuid[];
    v_all uuid[];
    v_left uuid[];  -- campaigns that messages left, by deletion or for another one
    v_left_messages text[];
    v_archived boolean;
    v_late text[];  -- what may be late for frozen campaigns; null: all that is touched
    v_touched record;
    v_counted bigint;
BEGIN
    SELECT
        bool_or(c.op = 'T'),
        array_agg(DISTINCT c.entity_id::uuid) FILTER (WHERE c.source = 'campaigns' AND c.op <> 'T'),
        array_agg(DISTINCT c.entity_id::uuid) FILTER (WHERE c.source = 'campaigns' AND c.op IN ('I', 'D')),
        -- but for what the archive takes away: that stays in the frozen documents
        array_agg((c.data #>> '{old,campaign_id}')::uuid) FILTER (
            WHERE c.source = 'send_queue' AND c.data IS NOT NULL AND c.cause IS DISTINCT FROM 'headrace.archive'),
        array_agg(c.entity_id) FILTER (
            WHERE c.source = 'send_queue' AND c.data IS NOT NULL AND c.cause IS DISTINCT FROM 'headrace.archive'),
        bool_or(c.cause = 'headrace.archive')
    INTO v_emptied, v_named, v_renewed, v_left, v_left_messages, v_archived FROM unnest(p_changes) c;
    IF v_emptied THEN
        v_all := ARRAY(SELECT campaign_id FROM headrace.campaign UNION SELECT campaign_id FROM headrace.stg_campaigns);
        PERFORM headrace.lock_campaigns(v_all);
        UPDATE headrace.campaign SET rebuild_requested_at = clock_timestamp() WHERE campaign_id = ANY (v_all);
    END IF;
    IF v_named IS NOT NULL THEN
        -- What came or went is counted by its rebuild; until then folds leave a campaign alone that is not live.
        PERFORM headrace.lock_campaigns(v_named);
        UPDATE headrace.campaign c SET
            rebuild_requested_at = clock_timestamp(),
            state = CASE
                WHEN c.state IN ('frozen', 'amended') OR c.state IN ('live', 'settling') AND x.status IS NOT NULL THEN c.state ELSE 'pending'
            END
        FROM (
            SELECT n.id, (SELECT coalesce(s.status, '') FROM headrace.stg_campaigns s WHERE s.campaign_id = n.id) AS status
            FROM unnest(v_named) n (id)
        ) x
        WHERE c.campaign_id = x.id AND (
            c.campaign_id = ANY (v_renewed) OR c.state IN ('pending', 'deleted') OR x.status IS NULL
            OR c.state IN ('frozen', 'amended') AND (
                headrace.lifecycle_state(c.state, x.status, c.frozen_status, NULL, NULL) NOT IN ('frozen', 'amended')
                -- gone until now: another campaign has taken its id
                OR EXISTS (SELECT FROM headrace.campaign_computed_stats d WHERE d.campaign_id = c.campaign_id AND d.deleted_at IS NOT NULL)));
        PERFORM headrace.settle_campaigns(v_named, true);
    END IF;
    SELECT * INTO v_touched FROM headrace.touched_messages(p_changes);
    v_touched.campaigns := v_touched.campaigns || v_left;
    IF v_archived THEN
        SELECT t.messages INTO v_late
        FROM headrace.touched_messages(ARRAY(SELECT c FROM unnest(p_changes) c WHERE c.cause IS DISTINCT FROM 'headrace.archive')) t;
    END IF;
    v_counted := headrace.fold_messages(v_touched.messages, v_touched.campaigns, v_late);
    PERFORM headrace.request_amendments(v_left, v_left_messages);
    RETURN v_counted;
END
$$;

-- Name: capture_campaigns_delete(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_campaigns_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'campaigns', 'D', r.id::text, NULL, NULL, NULLIF(current_setting('headrace.cause', true), '') FROM changed_rows r; RETURN NULL; END $$;

-- Name: capture_campaigns_insert(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_campaigns_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'campaigns', 'I', r.id::text, NULL, NULL, NULLIF(current_setting('headrace.cause', true), '') FROM changed_rows r; RETURN NULL; END $$;

-- Name: capture_campaigns_truncate(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_campaigns_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('campaigns', 'T', NULL, NULL, NULL, NULLIF(current_setting('headrace.cause', true), '')); RETURN NULL; END $$;

-- Name: capture_campaigns_update(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_campaigns_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN IF headrace.capture_campaigns_watched(OLD, NEW) THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('campaigns', 'U', NEW.id::text, NULL, NULL, NULLIF(current_setting('headrace.cause', true), '')); IF OLD.id IS DISTINCT FROM NEW.id THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('campaigns', 'U', OLD.id::text, NULL, NULL, NULLIF(current_setting('headrace.cause', true), '')); END IF; END IF; RETURN NULL; END $$;

-- Name: capture_campaigns_watched(public.campaigns, public.campaigns); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_campaigns_watched(o public.campaigns, n public.campaigns) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN (((o).id IS DISTINCT FROM (n).id) OR ((o).status IS DISTINCT FROM (n).status) OR ((o).created_at IS DISTINCT FROM (n).created_at) OR ((o).completed_at IS DISTINCT FROM (n).completed_at));

-- Name: capture_faults(text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_faults(p_sources text[] DEFAULT NULL::text[]) RETURNS TABLE(source text, fault text, op text, relation regclass, table_name text, place text, column_name text, found text, found_place text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $_$
    WITH root AS MATERIALIZED (
        SELECT s.source, i.value::jsonb AS noted, (
            -- not by to_regclass, which demands a right on the application's schema
            SELECT c.oid FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = i.value::jsonb ->> 'schema' AND c.relname = i.value::jsonb ->> 'table' AND c.relkind IN ('r', 'p')
        ) AS relid
        FROM (
            SELECT unnest(p_sources) AS source
            UNION SELECT substr(n.name, 9) FROM headrace.installation n WHERE n.name LIKE 'capture %' AND p_sources IS NULL
            UNION SELECT unnest(t.sources) FROM headrace.stream t WHERE p_sources IS NULL
        ) s
        LEFT JOIN headrace.installation i ON i.name = 'capture ' || s.source
    ), target AS (
        SELECT
            r.source, r.noted, r.relid AS root, u.relid,
            c.relkind = 'p' OR EXISTS (SELECT FROM pg_subscription_rel x WHERE x.srrelid = r.relid) AS by_row
        FROM root r
        INNER JOIN pg_class c ON c.oid = r.relid
        CROSS JOIN LATERAL (SELECT r.relid UNION SELECT t.relid FROM pg_partition_tree(r.relid) t) u
    ), operation AS (
        SELECT r.source, o.op, o.type, p.oid AS function, p.prosrc, w.oid AS watched
        FROM root r
        CROSS JOIN (VALUES ('insert', 4), ('delete', 8), ('update', 16), ('truncate', 32)) o (op, type)
        LEFT JOIN pg_proc p
            ON p.pronamespace = 'headrace'::regnamespace AND p.proname = 'capture_' || r.source || '_' || o.op AND p.pronargs = 0
        LEFT JOIN pg_proc w
            ON w.pronamespace = 'headrace'::regnamespace AND w.proname = 'capture_' || r.source || '_watched' AND o.op = 'update'
                AND w.proargtypes[0] = (SELECT c.reltype FROM pg_class c WHERE c.oid = r.relid)
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
            t.source, t.noted, t.relid, t.relid = t.root AS is_root, o.op, g.oid AS trigger,
            CASE
                WHEN g.oid IS NULL THEN 'missing'
                WHEN g.tgenabled = 'D' THEN 'disabled'
                WHEN g.tgenabled <> 'A' THEN 'not always'
                WHEN g.tgfoid IS DISTINCT FROM o.function OR o.op = 'update' AND g.tgqual IS NOT NULL
                    OR g.tgtype <> o.type + (o.op = 'update' OR t.by_row AND o.op <> 'truncate')::integer
                    -- clones on partitions bear no comment
                    OR g.tgparentid = 0 AND obj_description(g.oid, 'pg_trigger') IS DISTINCT FROM 'headrace ' || (t.noted -> 'triggers' ->> o.op)
                    THEN 'differs'
            END AS fault
        FROM target t
        INNER JOIN operation o ON o.source = t.source
        LEFT JOIN pg_trigger g ON g.tgrelid = t.relid AND g.tgname = '!headrace_' || o.op
        WHERE NOT EXISTS (SELECT FROM bare b WHERE b.source = t.source)
    ), watched AS (
        SELECT w.source, w.relid, w.noted -> 'watches' AS noted, (
            SELECT jsonb_agg(a.attname ORDER BY a.attnum)
            FROM pg_depend d INNER JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = o.watched AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
        ) AS now
        FROM trigger_now w
        INNER JOIN operation o ON o.source = w.source AND o.op = w.op
        WHERE w.is_root AND w.op = 'update' AND w.fault IS NULL
    ), moved AS (
        SELECT w.source, w.relid, n.name, w.now ->> (n.place - 1)::integer AS found
        FROM watched w CROSS JOIN LATERAL jsonb_array_elements_text(w.noted) WITH ORDINALITY n (name, place)
        WHERE jsonb_array_length(w.now) = jsonb_array_length(w.noted) AND w.now ->> (n.place - 1)::integer <> n.name
    ), fault AS (
        SELECT r.source, 'not noted' AS fault, NULL AS op, NULL::oid AS relid, NULL AS column_name, NULL AS found, NULL::oid AS other
        FROM root r WHERE r.noted IS NULL
        UNION ALL
        SELECT r.source, 'gone', NULL, NULL, NULL, NULL, b.other FROM bare b INNER JOIN root r ON r.source = b.source
        WHERE r.relid IS NULL AND r.noted IS NOT NULL
        UNION ALL
        SELECT b.source, 'bare', NULL, b.relid, NULL, NULL, b.other
        FROM bare b WHERE b.relid IS NOT NULL
        UNION ALL
        SELECT t.source, t.fault, t.op, t.relid, NULL, NULL, NULL FROM trigger_now t WHERE t.fault IS NOT NULL
        UNION ALL
        SELECT w.source, 'differs', 'update', w.relid, NULL, NULL, NULL FROM watched w
        WHERE jsonb_array_length(w.now) IS DISTINCT FROM jsonb_array_length(w.noted)
        UNION ALL
        SELECT
            m.source,
            CASE WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = m.relid AND a.attname = m.name AND NOT a.attisdropped)
                THEN 'another column' ELSE 'renamed' END,
            'update', m.relid, m.name, m.found, NULL
        FROM moved m
        UNION ALL
        SELECT o.source, 'function', o.op, r.relid, NULL, NULL, NULL
        FROM operation o INNER JOIN root r ON r.source = o.source
        WHERE r.relid IS NOT NULL AND (
            headrace.capture_fingerprint(o.function) <> r.noted -> 'functions' ->> o.op
            OR headrace.capture_fingerprint(o.watched) <> r.noted -> 'functions' ->> 'watched')
        UNION ALL
        SELECT o.source, 'unreadable', o.op, r.relid, m.name, (SELECT v.found FROM moved v WHERE v.source = o.source AND v.name = m.name), NULL
        FROM operation o
        INNER JOIN root r ON r.source = o.source
        CROSS JOIN LATERAL (
            SELECT DISTINCT CASE WHEN x[1] LIKE '"%' THEN replace(substr(x[1], 2, length(x[1]) - 2), '""', '"') ELSE x[1] END AS name
            FROM regexp_matches(o.prosrc, '\m(?:NEW|OLD|r)\.("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)', 'g') x
        ) m
        WHERE r.relid IS NOT NULL
            AND NOT EXISTS (SELECT FROM bare b WHERE b.source = r.source)
            AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = r.relid AND a.attname = m.name AND NOT a.attisdropped)
    )
    SELECT
        f.source, f.fault, f.op, f.relid::regclass,
        coalesce(CASE WHEN n.nspname <> own.schema THEN n.nspname || '.' END || c.relname, c.relname, f.source),
        '"' || replace(coalesce(n.nspname, r.noted ->> 'schema'), '"', '""')
            || '"."' || replace(coalesce(c.relname, r.noted ->> 'table'), '"', '""') || '"',
        f.column_name,
        coalesce(f.found, CASE WHEN x.nspname <> own.schema THEN x.nspname || '.' END || k.relname, k.relname),
        '"' || replace(x.nspname, '"', '""') || '"."' || replace(k.relname, '"', '""') || '"'
    FROM fault f
    INNER JOIN root r ON r.source = f.source
    LEFT JOIN pg_class c ON c.oid = f.relid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_class k ON k.oid = f.other LEFT JOIN pg_namespace x ON x.oid = k.relnamespace
    LEFT JOIN LATERAL (SELECT value AS schema FROM headrace.installation WHERE name = 'source_schema') own ON true
    ORDER BY f.source, 5, f.fault, f.column_name, f.op
$_$;

-- Name: capture_fingerprint(oid); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_fingerprint(p_function oid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
    SELECT md5(jsonb_build_array(
        p.prosrc,
        -- As text, for a parsed body is full of numbers that a restore changes; without column names, which follow a rename.
        regexp_replace(pg_get_function_sqlbody(p.oid), '\(([on])\)\.("(?:[^"]|"")+"|[[:alnum:]_$]+)', '(\1)', 'g'),
        p.prosecdef, p.proconfig)::text)
    FROM pg_proc p WHERE p.oid = p_function
$_$;

-- Name: capture_message_status_logs_delete(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_message_status_logs_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'message_status_logs', 'D', r.id::text, NULL, jsonb_build_object('old', jsonb_object(ARRAY['whatsapp_message_id', r.whatsapp_message_id::text])), NULLIF(current_setting('headrace.cause', true), '') FROM changed_rows r; RETURN NULL; END $$;

-- Name: capture_message_status_logs_insert(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_message_status_logs_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'message_status_logs', 'I', r.id::text, NULL, jsonb_build_object('new', jsonb_object(ARRAY['whatsapp_message_id', r.whatsapp_message_id::text])), NULLIF(current_setting('headrace.cause', true), '') FROM changed_rows r; RETURN NULL; END $$;

-- Name: capture_message_status_logs_truncate(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_message_status_logs_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('message_status_logs', 'T', NULL, NULL, NULL, NULLIF(current_setting('headrace.cause', true), '')); RETURN NULL; END $$;

-- Name: capture_message_status_logs_update(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_message_status_logs_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN IF headrace.capture_message_status_logs_watched(OLD, NEW) THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('message_status_logs', 'U', NEW.id::text, NULL, jsonb_build_object('old', jsonb_object(ARRAY['whatsapp_message_id', OLD.whatsapp_message_id::text]), 'new', jsonb_object(ARRAY['whatsapp_message_id', NEW.whatsapp_message_id::text])), NULLIF(current_setting('headrace.cause', true), '')); IF OLD.id IS DISTINCT FROM NEW.id THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('message_status_logs', 'U', OLD.id::text, NULL, jsonb_build_object('old', jsonb_object(ARRAY['whatsapp_message_id', OLD.whatsapp_message_id::text]), 'new', jsonb_object(ARRAY['whatsapp_message_id', NEW.whatsapp_message_id::text])), NULLIF(current_setting('headrace.cause', true), '')); END IF; END IF; RETURN NULL; END $$;

-- Name: capture_message_status_logs_watched(public.message_status_logs, public.message_status_logs); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_message_status_logs_watched(o public.message_status_logs, n public.message_status_logs) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN (((o).id IS DISTINCT FROM (n).id) OR ((o).whatsapp_message_id IS DISTINCT FROM (n).whatsapp_message_id) OR ((o).status IS DISTINCT FROM (n).status) OR ((o).created_at IS DISTINCT FROM (n).created_at));

-- Name: capture_messages_delete(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_messages_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'messages', 'D', r.id::text, NULL, jsonb_build_object('old', jsonb_object(ARRAY['user_phone', r.user_phone::text, 'whatsapp_number_id', r.whatsapp_number_id::text, 'created_at', to_jsonb(r.created_at) #>> '{}', 'context_message_id', r.context_message_id::text])), NULLIF(current_setting('headrace.cause', true), '') FROM changed_rows r WHERE (r).direction = 'incoming'; RETURN NULL; END $$;

-- Name: capture_messages_insert(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_messages_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'messages', 'I', r.id::text, NULL, jsonb_build_object('new', jsonb_object(ARRAY['user_phone', r.user_phone::text, 'whatsapp_number_id', r.whatsapp_number_id::text, 'created_at', to_jsonb(r.created_at) #>> '{}', 'context_message_id', r.context_message_id::text])), NULLIF(current_setting('headrace.cause', true), '') FROM changed_rows r WHERE (r).direction = 'incoming'; RETURN NULL; END $$;

-- Name: capture_messages_truncate(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_messages_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('messages', 'T', NULL, NULL, NULL, NULLIF(current_setting('headrace.cause', true), '')); RETURN NULL; END $$;

-- Name: capture_messages_update(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_messages_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN IF headrace.capture_messages_watched(OLD, NEW) THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('messages', 'U', NEW.id::text, NULL, jsonb_build_object('old', jsonb_object(ARRAY['user_phone', OLD.user_phone::text, 'whatsapp_number_id', OLD.whatsapp_number_id::text, 'created_at', to_jsonb(OLD.created_at) #>> '{}', 'context_message_id', OLD.context_message_id::text]), 'new', jsonb_object(ARRAY['user_phone', NEW.user_phone::text, 'whatsapp_number_id', NEW.whatsapp_number_id::text, 'created_at', to_jsonb(NEW.created_at) #>> '{}', 'context_message_id', NEW.context_message_id::text])), NULLIF(current_setting('headrace.cause', true), '')); IF OLD.id IS DISTINCT FROM NEW.id THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('messages', 'U', OLD.id::text, NULL, jsonb_build_object('old', jsonb_object(ARRAY['user_phone', OLD.user_phone::text, 'whatsapp_number_id', OLD.whatsapp_number_id::text, 'created_at', to_jsonb(OLD.created_at) #>> '{}', 'context_message_id', OLD.context_message_id::text]), 'new', jsonb_object(ARRAY['user_phone', NEW.user_phone::text, 'whatsapp_number_id', NEW.whatsapp_number_id::text, 'created_at', to_jsonb(NEW.created_at) #>> '{}', 'context_message_id', NEW.context_message_id::text])), NULLIF(current_setting('headrace.cause', true), '')); END IF; END IF; RETURN NULL; END $$;

-- Name: capture_messages_watched(public.messages, public.messages); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_messages_watched(o public.messages, n public.messages) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN ((((o).id IS DISTINCT FROM (n).id) OR ((o).user_phone IS DISTINCT FROM (n).user_phone) OR ((o).whatsapp_number_id IS DISTINCT FROM (n).whatsapp_number_id) OR ((o).created_at IS DISTINCT FROM (n).created_at) OR ((o).direction IS DISTINCT FROM (n).direction) OR ((o).context_message_id IS DISTINCT FROM (n).context_message_id)) AND (((o).direction = 'incoming'::text) OR ((n).direction = 'incoming'::text)));

-- Name: capture_send_queue_delete(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_send_queue_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'send_queue', 'D', r.id::text, r.campaign_id::text, jsonb_build_object('old', jsonb_object(ARRAY['id', r.id::text, 'campaign_id', r.campaign_id::text, 'user_phone', r.user_phone::text, 'whatsapp_number_id', r.whatsapp_number_id::text, 'sent_at', to_jsonb(r.sent_at) #>> '{}', 'created_at', to_jsonb(r.created_at) #>> '{}'])), NULLIF(current_setting('headrace.cause', true), '') FROM changed_rows r; RETURN NULL; END $$;

-- Name: capture_send_queue_insert(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_send_queue_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) SELECT 'send_queue', 'I', r.id::text, r.campaign_id::text, NULL, NULLIF(current_setting('headrace.cause', true), '') FROM changed_rows r; RETURN NULL; END $$;

-- Name: capture_send_queue_truncate(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_send_queue_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('send_queue', 'T', NULL, NULL, NULL, NULLIF(current_setting('headrace.cause', true), '')); RETURN NULL; END $$;

-- Name: capture_send_queue_update(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_send_queue_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$ BEGIN IF headrace.capture_send_queue_watched(OLD, NEW) THEN IF OLD.id IS DISTINCT FROM NEW.id OR OLD.campaign_id IS DISTINCT FROM NEW.campaign_id OR OLD.user_phone IS DISTINCT FROM NEW.user_phone OR OLD.whatsapp_number_id IS DISTINCT FROM NEW.whatsapp_number_id OR OLD.sent_at IS DISTINCT FROM NEW.sent_at OR OLD.created_at IS DISTINCT FROM NEW.created_at THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('send_queue', 'U', NEW.id::text, NEW.campaign_id::text, jsonb_build_object('old', jsonb_object(ARRAY['id', OLD.id::text, 'campaign_id', OLD.campaign_id::text, 'user_phone', OLD.user_phone::text, 'whatsapp_number_id', OLD.whatsapp_number_id::text, 'sent_at', to_jsonb(OLD.sent_at) #>> '{}', 'created_at', to_jsonb(OLD.created_at) #>> '{}'])), NULLIF(current_setting('headrace.cause', true), '')); IF OLD.id IS DISTINCT FROM NEW.id THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('send_queue', 'U', OLD.id::text, OLD.campaign_id::text, jsonb_build_object('old', jsonb_object(ARRAY['id', OLD.id::text, 'campaign_id', OLD.campaign_id::text, 'user_phone', OLD.user_phone::text, 'whatsapp_number_id', OLD.whatsapp_number_id::text, 'sent_at', to_jsonb(OLD.sent_at) #>> '{}', 'created_at', to_jsonb(OLD.created_at) #>> '{}'])), NULLIF(current_setting('headrace.cause', true), '')); END IF; ELSE INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('send_queue', 'U', NEW.id::text, NEW.campaign_id::text, NULL, NULLIF(current_setting('headrace.cause', true), '')); IF OLD.id IS DISTINCT FROM NEW.id THEN INSERT INTO headrace.change_log (source, op, entity_id, scope, data, cause) VALUES ('send_queue', 'U', OLD.id::text, OLD.campaign_id::text, NULL, NULLIF(current_setting('headrace.cause', true), '')); END IF; END IF; END IF; RETURN NULL; END $$;

-- Name: capture_send_queue_watched(public.send_queue, public.send_queue); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_send_queue_watched(o public.send_queue, n public.send_queue) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN (((o).id IS DISTINCT FROM (n).id) OR ((o).campaign_id IS DISTINCT FROM (n).campaign_id) OR ((o).template_name IS DISTINCT FROM (n).template_name) OR ((o).status IS DISTINCT FROM (n).status) OR ((o).whatsapp_message_id IS DISTINCT FROM (n).whatsapp_message_id) OR ((o).user_phone IS DISTINCT FROM (n).user_phone) OR ((o).whatsapp_number_id IS DISTINCT FROM (n).whatsapp_number_id) OR ((o).sent_at IS DISTINCT FROM (n).sent_at) OR ((o).created_at IS DISTINCT FROM (n).created_at));

-- Name: capture_table(regclass, text, name, name, name[], name[], name, text, name[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.capture_table(p_table regclass, p_source text, p_entity name, p_scope name, p_keys name[], p_watch name[], p_only_column name DEFAULT NULL::name, p_only_value text DEFAULT NULL::text, p_left name[] DEFAULT '{}'::name[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    -- Statement triggers fire neither for logical apply nor for rows that an UPDATE moves between partitions.
    v_by_row boolean := (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = p_table)
        OR EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = p_table);
    v_columns constant text := 'source, op, entity_id, scope, data, cause';
    v_cause constant text := 'NULLIF(current_setting(''headrace.cause'', true), '''')';
    v_values constant text := '%1$L, %2$L, %3$s.%4$I::text, ' || CASE WHEN p_scope IS NULL THEN 'NULL' ELSE '%3$s.%5$I::text' END || ', %6$s, %7$s';
    -- Times by way of JSON, which writes them in ISO whatever the session's DateStyle says.
    v_pairs constant text := (
        SELECT string_agg(format(CASE t.typcategory WHEN 'D' THEN '%L, to_jsonb($row$.%I) #>> ''{}''' ELSE '%L, $row$.%I::text' END, k, k), ', ' ORDER BY n)
        FROM unnest(p_keys || p_left) WITH ORDINALITY u (k, n)
        INNER JOIN pg_attribute a ON a.attrelid = p_table AND a.attname = k INNER JOIN pg_type t ON t.oid = a.atttypid);
    v_left_changed constant text := (SELECT string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', k), ' OR ') FROM unnest(p_left) k);
    v_watched constant name := 'capture_' || p_source || '_watched';
    v_watch constant text := (SELECT string_agg(format('(o).%1$I IS DISTINCT FROM (n).%1$I', w), ' OR ') FROM unnest(p_watch) w);
    v_only constant text := CASE WHEN p_only_column IS NOT NULL THEN format('($row$).%I = %L', p_only_column, p_only_value) END;
    v_update text;  -- the INSERTs of an UPDATE, $data$ for what they carry; a row that changes its id is a change of two entities
    v_ops constant text[] := ARRAY['insert', 'update', 'delete', 'truncate'];
    v_op text;
    v_row text;  -- what a row is called: NEW, OLD, or r, one of the transition table
    v_data text;
    v_body text;
    v_trigger text;
    v_triggers jsonb := '{}';
    v_prints jsonb := '{}';  -- what each trigger, and what an UPDATE's watches, are known again by
    v_functions jsonb;
    v_noted jsonb;
    v_changed integer := 0;
    v_target regclass;
    v_other regprocedure;
BEGIN
    IF cardinality(p_keys) > 0 AND cardinality(p_left) > 0 THEN
        RAISE EXCEPTION 'capture of %: name either p_keys or p_left', p_source USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM unnest(p_keys || p_left) k WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p_table AND a.attname = k)) THEN
        RAISE EXCEPTION 'capture of %: table % lacks one of the columns %', p_source, p_table, p_keys || p_left USING ERRCODE = 'undefined_column';
    END IF;
    v_update := format(
        'INSERT INTO headrace.change_log (%1$s) VALUES (%2$s); IF OLD.%3$I IS DISTINCT FROM NEW.%3$I THEN'
        || ' INSERT INTO headrace.change_log (%1$s) VALUES (%4$s); END IF;',
        v_columns, format(v_values, p_source, 'U', 'NEW', p_entity, p_scope, '$data$', v_cause), p_entity,
        format(v_values, p_source, 'U', 'OLD', p_entity, p_scope, '$data$', v_cause));
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION headrace.%1$I(o %2$s, n %2$s) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN (%3$s)%4$s',
        v_watched, p_table, v_watch,
        coalesce(' AND (' || replace(v_only, '$row$', 'o') || ' OR ' || replace(v_only, '$row$', 'n') || ')', ''));
    EXECUTE format('REVOKE ALL ON FUNCTION headrace.%1$I(%2$s, %2$s) FROM PUBLIC', v_watched, p_table);
    v_functions := jsonb_build_object(
        'watched', headrace.capture_fingerprint(format('headrace.%1$I(%2$s, %2$s)', v_watched, p_table)::regprocedure));

    FOREACH v_op IN ARRAY v_ops LOOP
        v_row := CASE WHEN v_op <> 'update' AND NOT v_by_row THEN 'r' WHEN v_op = 'delete' THEN 'OLD' ELSE 'NEW' END;
        v_data := CASE
            WHEN v_op = 'update' AND cardinality(p_keys) > 0 THEN format(
                'jsonb_build_object(''old'', jsonb_object(ARRAY[%s]), ''new'', jsonb_object(ARRAY[%s]))',
                replace(v_pairs, '$row$', 'OLD'), replace(v_pairs, '$row$', 'NEW'))
            WHEN v_op = 'delete' AND v_pairs IS NOT NULL OR v_op = 'update' AND cardinality(p_left) > 0 THEN format(
                'jsonb_build_object(''old'', jsonb_object(ARRAY[%s]))', replace(v_pairs, '$row$', CASE v_op WHEN 'update' THEN 'OLD' ELSE v_row END))
            WHEN v_op = 'insert' AND cardinality(p_keys) > 0 THEN format(
                'jsonb_build_object(''new'', jsonb_object(ARRAY[%s]))', replace(v_pairs, '$row$', v_row))
            ELSE 'NULL'
        END;
        v_body := CASE
            WHEN v_op = 'truncate' THEN format(
                'INSERT INTO headrace.change_log (%s) VALUES (%L, ''T'', NULL, NULL, NULL, %s);', v_columns, p_source, v_cause)
            WHEN v_op = 'update' THEN format('IF headrace.%I(OLD, NEW) THEN ', v_watched) || CASE
                -- told apart before the INSERT, which would set up the whole expression anew for every row
                WHEN cardinality(p_left) > 0
                    THEN format('IF %s THEN %s ELSE %s END IF;', v_left_changed, replace(v_update, '$data$', v_data), replace(v_update, '$data$', 'NULL'))
                ELSE replace(v_update, '$data$', v_data)
            END || ' END IF;'
            WHEN v_by_row THEN format(
                'INSERT INTO headrace.change_log (%s) VALUES (%s);',
                v_columns, format(v_values, p_source, upper(left(v_op, 1)), v_row, p_entity, p_scope, v_data, v_cause))
            ELSE format(
                'INSERT INTO headrace.change_log (%s) SELECT %s FROM changed_rows r%s;',
                v_columns, format(v_values, p_source, upper(left(v_op, 1)), v_row, p_entity, p_scope, v_data, v_cause),
                coalesce(' WHERE ' || replace(v_only, '$row$', 'r'), ''))
        END;

        EXECUTE format(
            'CREATE OR REPLACE FUNCTION headrace.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER'
            || ' SET search_path = pg_catalog, headrace, pg_temp AS $body$ BEGIN %s RETURN NULL; END $body$',
            'capture_' || p_source || '_' || v_op, v_body);
        EXECUTE format('REVOKE ALL ON FUNCTION headrace.%I() FROM PUBLIC', 'capture_' || p_source || '_' || v_op);

        -- %s stands for the table: whatever else bears a % is doubled.
        v_trigger := CASE
            WHEN v_op = 'truncate' THEN 'AFTER TRUNCATE ON %s FOR EACH STATEMENT'
            WHEN v_op = 'update' THEN 'AFTER UPDATE ON %s FOR EACH ROW'
            WHEN v_by_row THEN 'AFTER ' || upper(v_op) || ' ON %s FOR EACH ROW'
                || coalesce(' WHEN (' || replace(replace(v_only, '$row$', v_row), '%', '%%') || ')', '')
            ELSE 'AFTER ' || upper(v_op) || ' ON %s REFERENCING '
                || CASE v_op WHEN 'delete' THEN 'OLD' ELSE 'NEW' END || ' TABLE AS changed_rows FOR EACH STATEMENT'
        END;
        v_triggers := v_triggers || jsonb_build_object(v_op, v_trigger);
        v_prints := v_prints || jsonb_build_object(
            v_op, md5(v_trigger || CASE v_op WHEN 'update' THEN v_watch || coalesce(v_only, '') ELSE '' END));
        v_functions := v_functions || jsonb_build_object(
            v_op, headrace.capture_fingerprint(format('headrace.%I()', 'capture_' || p_source || '_' || v_op)::regprocedure));
    END LOOP;

    -- Noted, for capture_faults to compare with.
    v_noted := jsonb_build_object(
        'schema', (SELECT n.nspname FROM pg_class c INNER JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = p_table),
        'table', (SELECT c.relname FROM pg_class c WHERE c.oid = p_table),
        'functions', v_functions,
        'triggers', v_prints,
        'watches', (
            SELECT jsonb_agg(a.attname ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = p_table AND a.attname = ANY (p_watch || p_only_column)));
    INSERT INTO headrace.installation AS i (name, value) VALUES ('capture ' || p_source, v_noted::text)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE i.value <> excluded.value;

    -- TRUNCATE of a partition does not fire its parent's trigger: every leaf bears its own. Row triggers reach the leaves by
    -- themselves, also when they are made anew because one of them was disabled there.
    FOR v_op, v_target IN
        WITH fault AS MATERIALIZED (
            SELECT f.op, f.relation FROM headrace.capture_faults(ARRAY[p_source]) f
            WHERE f.fault NOT IN ('function', 'unreadable')  -- mended by now, or for the trigger to fail on
        )
        SELECT o.op, t.relid
        FROM unnest(v_ops) WITH ORDINALITY o (op, place)
        CROSS JOIN LATERAL (SELECT p_table AS relid UNION SELECT t.relid FROM pg_partition_tree(p_table) t WHERE o.op = 'truncate') t
        WHERE EXISTS (
            SELECT FROM fault f WHERE f.op IS NULL OR f.op = o.op AND (f.relation = t.relid OR o.op <> 'truncate'))
        ORDER BY o.place, t.relid
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I ', '!headrace_' || v_op)
            || format(v_triggers ->> v_op, v_target) || format(' EXECUTE FUNCTION headrace.%I()', 'capture_' || p_source || '_' || v_op);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', v_target, '!headrace_' || v_op);
        EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', '!headrace_' || v_op, v_target, 'headrace ' || (v_prints ->> v_op));
        v_changed := v_changed + 1;
    END LOOP;

    -- Triggers on a table that had the name before, or on a partition that was detached.
    FOR v_op, v_target IN
        SELECT g.tgname, g.tgrelid
        FROM pg_trigger g
        WHERE g.tgparentid = 0
            AND g.tgfoid = ANY (ARRAY(SELECT format('headrace.%I()', 'capture_' || p_source || '_' || o)::regprocedure FROM unnest(v_ops) o))
            AND g.tgrelid <> p_table AND NOT EXISTS (SELECT FROM pg_partition_tree(p_table) t WHERE t.relid = g.tgrelid)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', v_op, v_target);
    END LOOP;
    FOR v_other IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'headrace'::regnamespace AND p.proname = v_watched
            AND p.proargtypes[0] <> (SELECT c.reltype FROM pg_class c WHERE c.oid = p_table)
    LOOP
        EXECUTE format('DROP FUNCTION %s', v_other);
    END LOOP;
    RETURN v_changed;
END
$_$;

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

-- Name: counters_json(bigint, bigint, bigint, bigint, bigint, bigint, bigint); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.counters_json(p_total bigint, p_sent bigint, p_delivered bigint, p_read bigint, p_replied bigint, p_failed bigint, p_failed_queue bigint) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT jsonb_build_object(
        'total', p_total, 'sent', p_sent, 'delivered', p_delivered, 'read', p_read, 'replied', p_replied, 'failed', p_failed,
        'failed_queue', p_failed_queue, 'failed_delivery', p_failed - p_failed_queue,
        'delivered_rate', round(p_delivered::numeric / nullif(p_sent, 0), 6),
        'read_rate', round(p_read::numeric / nullif(p_delivered, 0), 6),
        'replied_rate', round(p_replied::numeric / nullif(p_delivered, 0), 6)
    )
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

CREATE FUNCTION headrace.dead_letter_retry(p_ids bigint[] DEFAULT NULL::bigint[], p_due boolean DEFAULT false, OUT applied integer, OUT failed integer) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
DECLARE
    d record;
    v_code text;
    v_message text;
BEGIN
    applied := 0;
    failed := 0;
    FOR d IN
        SELECT l.*, s.handler, s.ordered FROM headrace.dead_letter l JOIN headrace.stream s USING (stream)
        WHERE (p_ids IS NULL OR l.id = ANY (p_ids)) AND (NOT p_due OR l.status = 'waiting' OR l.next_try_at <= now())
        ORDER BY l.stream, l.pos
        FOR UPDATE OF l SKIP LOCKED
    LOOP
        CONTINUE WHEN d.ordered AND EXISTS (
            SELECT FROM headrace.dead_letter e WHERE e.stream = d.stream AND e.entity_id = d.entity_id AND e.pos < d.pos);
        BEGIN
            EXECUTE format('SELECT %s($1)', d.handler) USING ARRAY[d.change];
            DELETE FROM headrace.dead_letter l WHERE l.id = d.id;
            applied := applied + 1;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            IF NOT headrace.is_data_error(v_code) THEN
                RAISE;
            END IF;
            UPDATE headrace.dead_letter l SET
                status = 'failed', error_code = v_code, error = v_message, attempts = l.attempts + 1,
                last_failed_at = clock_timestamp(), next_try_at = headrace.dead_letter_next_try(l.attempts + 1)
            WHERE l.id = d.id;
            failed := failed + 1;
        END;
    END LOOP;
END
$_$;

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

-- Name: drop_change_log_partition(date, interval); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.drop_change_log_partition(p_day date, p_lost_after interval) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $_$
DECLARE
    v_name constant text := 'change_log_' || to_char(p_day, 'YYYYMMDD');
    v_needed boolean;
    c record;
BEGIN
    IF to_regclass('headrace.' || v_name) IS NULL THEN
        RETURN 'gone';
    END IF;
    -- Cursors first, as a step does; then the log; then, in new statements, what is needed: a transaction from before
    -- midnight may have committed into the partition while we waited.
    PERFORM FROM headrace.stream_cursor ORDER BY stream, shard FOR UPDATE;
    LOCK TABLE headrace.change_log IN ACCESS EXCLUSIVE MODE;
    FOR c IN SELECT * FROM headrace.stream_cursor WHERE state = 'active' LOOP
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM headrace.%1$I WHERE xid >= pg_snapshot_xmax($1))'
            || ' OR EXISTS (SELECT FROM headrace.%1$I WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1))))', v_name)
        INTO v_needed USING c.prev;
        IF v_needed AND (p_day + 1)::timestamp AT TIME ZONE 'UTC' >= now() - p_lost_after THEN
            RETURN 'needed';
        ELSIF v_needed THEN
            UPDATE headrace.stream_cursor SET state = 'lost' WHERE stream = c.stream AND shard = c.shard;
        END IF;
    END LOOP;
    EXECUTE format('DROP TABLE headrace.%I', v_name);
    RETURN 'dropped';
END
$_$;

-- Name: expired_change_log_days(interval); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.expired_change_log_days(p_retention interval) RETURNS SETOF date
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $_$
    SELECT d.day FROM (
        SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'headrace.change_log'::regclass AND c.relname ~ '^change_log_\d{8}$'
    ) d
    WHERE (d.day + 1)::timestamp AT TIME ZONE 'UTC' < now() - p_retention
    ORDER BY d.day
$_$;

-- Name: fold_messages(text[], uuid[], text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.fold_messages(p_messages text[], p_campaigns uuid[], p_late text[] DEFAULT NULL::text[]) RETURNS bigint
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
    v_unlocked uuid[];
    v_late text[];  -- of frozen campaigns: those are not folded, but asked to be amended
    v_late_campaigns uuid[];
    v_changes headrace.outcome_change[];
BEGIN
    IF cardinality(p_messages) = 0 THEN
        RETURN 0;
    END IF;
    LOOP
        PERFORM headrace.lock_campaigns(v_campaigns);
        SELECT
            array_agg(ROW(
                d.id,
                d.old_campaign, d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at,
                d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at
            )::headrace.outcome_change) FILTER (
                WHERE (d.old_campaign, d.old_template, d.old_bits, d.old_sent_at, d.old_delivered_at, d.old_read_at, d.old_replied_at)
                IS DISTINCT FROM (d.new_campaign, d.new_template, d.new_bits, d.new_sent_at, d.new_delivered_at, d.new_read_at, d.new_replied_at)),
            array_agg(DISTINCT d.old_campaign) FILTER (WHERE d.old_campaign IS NOT NULL AND d.old_campaign <> ALL (v_campaigns))
                || array_agg(DISTINCT d.source_campaign) FILTER (WHERE d.source_campaign IS NOT NULL AND d.source_campaign <> ALL (v_campaigns)),
            array_agg(d.id) FILTER (WHERE d.frozen AND (p_late IS NULL OR d.id = ANY (p_late))),
            array_agg(d.source_campaign) FILTER (WHERE d.frozen AND (p_late IS NULL OR d.id = ANY (p_late)))
        INTO v_changes, v_unlocked, v_late, v_late_campaigns
        FROM (
            SELECT
                k.id, q.campaign_id AS source_campaign, c.state IN ('frozen', 'amended') AS frozen,
                o.campaign_id AS old_campaign, o.template_name AS old_template, o.bits AS old_bits,
                o.sent_at AS old_sent_at, o.delivered_at AS old_delivered_at, o.read_at AS old_read_at, o.replied_at AS old_replied_at,
                CASE WHEN e.bits IS NOT NULL THEN q.campaign_id END AS new_campaign,
                CASE WHEN e.bits IS NOT NULL THEN q.template_name END AS new_template,
                (e.bits | CASE WHEN r.replied THEN 32 ELSE 0 END)::smallint AS new_bits,
                e.sent_at AS new_sent_at, e.delivered_at AS new_delivered_at, e.read_at AS new_read_at, r.replied_at AS new_replied_at
            FROM unnest(p_messages) k (id)
            LEFT JOIN headrace.message_outcome o ON o.message_id = k.id
            LEFT JOIN headrace.stg_send_queue q ON q.id = k.id::uuid
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
                        SELECT headrace.status_bits(x.status) AS bits, x.created_at FROM headrace.stg_message_status_logs x
                        WHERE x.whatsapp_message_id = q.whatsapp_message_id
                    ) s
                ) l
                WHERE c.state IN ('live', 'settling')
                OFFSET 0  -- computed once, not once per mention
            ) e ON true
            LEFT JOIN LATERAL (
                SELECT count(*) > 0 AS replied, min(y.created_at) AS replied_at
                FROM (
                    SELECT x.created_at FROM headrace.stg_incoming_messages x WHERE x.context_message_id = q.whatsapp_message_id
                    UNION ALL
                    SELECT m.created_at FROM headrace.stg_incoming_messages m
                    WHERE m.user_phone = q.user_phone AND m.whatsapp_number_id = q.whatsapp_number_id
                        AND m.created_at > q.at AND m.context_message_id IS NULL
                        AND extract(EPOCH FROM m.created_at) - extract(EPOCH FROM q.at) <= headrace.reply_window()
                        AND NOT EXISTS (
                            SELECT FROM headrace.stg_send_queue n
                            WHERE n.user_phone = q.user_phone AND n.whatsapp_number_id = q.whatsapp_number_id
                                AND (n.at, n.id) > (q.at, q.id) AND n.at < m.created_at
                                AND (n.status = 'sent' OR EXISTS (
                                    SELECT FROM headrace.stg_message_status_logs l
                                    WHERE l.whatsapp_message_id = n.whatsapp_message_id AND headrace.status_bits(l.status) & 1 > 0)))
                ) y
                WHERE e.bits & 1 > 0
                OFFSET 0
            ) r ON true
            OFFSET 0
        ) d;
        EXIT WHEN v_unlocked IS NULL;
        v_campaigns := v_campaigns || v_unlocked;
    END LOOP;
    IF v_late IS NOT NULL THEN
        PERFORM headrace.request_amendments(v_late_campaigns, v_late);
    END IF;
    RETURN headrace.apply_outcomes(v_changes);
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

CREATE FUNCTION headrace.freeze_campaign(p_campaign_id uuid, p_status text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_facts jsonb;
BEGIN
    SELECT jsonb_build_object(
        'campaign_id', c.campaign_id, 'name', c.name, 'status', c.status, 'created_at', c.created_at, 'completed_at', c.completed_at)
    INTO v_facts FROM headrace.stg_campaigns c WHERE c.campaign_id = p_campaign_id;
    IF NOT FOUND THEN
        RETURN;  -- deleted since it was counted: a change of its own, which asks for a rebuild
    END IF;
    UPDATE headrace.campaign_computed_stats d SET
        state = 'frozen', frozen_at = clock_timestamp(), deleted_at = NULL, facts = v_facts
    WHERE d.campaign_id = p_campaign_id;
    UPDATE headrace.campaign k SET
        state = 'frozen', settles_until = NULL, reopened_at = NULL, late_messages = NULL,
        frozen_status = coalesce(p_status, v_facts ->> 'status', ''),
        source_rows = headrace.source_row_counts(p_campaign_id),
        last_version = (SELECT d.version FROM headrace.campaign_computed_stats d WHERE d.campaign_id = p_campaign_id)
    WHERE k.campaign_id = p_campaign_id;
    DELETE FROM headrace.message_outcome o WHERE o.campaign_id = p_campaign_id;
    DELETE FROM headrace.campaign_latency l WHERE l.campaign_id = p_campaign_id;
    PERFORM headrace.pack_hours(p_campaign_id);
    PERFORM headrace.touch_day(p_campaign_id, ARRAY['campaign_computed_stats']);
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
    v_rows jsonb;  -- that there were before the count that is frozen
    v_frozen bigint := 0;
BEGIN
    SELECT id INTO v_missing FROM unnest(p_campaigns) id
    WHERE NOT EXISTS (SELECT FROM headrace.stg_campaigns c WHERE c.campaign_id = id) ORDER BY id LIMIT 1;
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
    FROM headrace.campaign_template_stats_live s
    WHERE s.campaign_id = p_campaign_id
    ORDER BY s.template_name
$$;

-- Name: ingest_whatsapp_webhook(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
    v_items jsonb;  -- those without a problem
    v_item jsonb;
    v_rejected jsonb;
    v_stored jsonb;
    v_code text;
    v_error text;
    v_found_statuses bigint;
    v_found_messages bigint;
    v_statuses bigint := 0;
    v_messages bigint := 0;
    v_refused_statuses bigint := 0;
    v_refused_messages bigint := 0;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'ingest_whatsapp_webhook would store repeated deliveries twice in a % transaction',
            upper(current_setting('transaction_isolation'))
        USING ERRCODE = 'invalid_transaction_state', HINT = 'Call it in a READ COMMITTED transaction, PostgreSQL''s default.';
    END IF;
    SELECT
        coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NULL), '[]'),
        coalesce(jsonb_agg(to_jsonb(i)) FILTER (WHERE i.problem IS NOT NULL), '[]'),
        count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'status'), count(*) FILTER (WHERE i.problem IS NULL AND i.kind = 'message')
    INTO v_items, v_rejected, v_found_statuses, v_found_messages
    FROM headrace.webhook_items(p_body) i;

    PERFORM pg_advisory_xact_lock(1752197741, b.bucket)
    FROM (SELECT DISTINCT hashtext(i ->> 'message_id') & 255 AS bucket FROM jsonb_array_elements(v_items) i ORDER BY 1) b;
    BEGIN
        v_stored := headrace.store_webhook_items(v_items);
        v_statuses := (v_stored ->> 'statuses')::bigint;
        v_messages := (v_stored ->> 'messages')::bigint;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation OR raise_exception THEN
        -- One of them is at fault, or several: the others are taken in one by one.
        FOR v_item IN SELECT i FROM jsonb_array_elements(v_items) i LOOP
            BEGIN
                v_stored := headrace.store_webhook_items(jsonb_build_array(v_item));
                v_statuses := v_statuses + (v_stored ->> 'statuses')::bigint;
                v_messages := v_messages + (v_stored ->> 'messages')::bigint;
            EXCEPTION WHEN data_exception OR integrity_constraint_violation OR raise_exception THEN
                GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_error = MESSAGE_TEXT;
                v_rejected := v_rejected || (v_item || jsonb_build_object('problem', v_code || ' ' || v_error));
                v_refused_statuses := v_refused_statuses + (v_item ->> 'kind' = 'status')::integer;
                v_refused_messages := v_refused_messages + (v_item ->> 'kind' = 'message')::integer;
            END;
        END LOOP;
    END;

    INSERT INTO headrace.webhook_reject AS r (path, reason, item, whatsapp_number_id)
    SELECT DISTINCT ON (md5((i -> 'item')::text), i ->> 'problem', i ->> 'path')
        i ->> 'path', i ->> 'problem', i -> 'item', i ->> 'whatsapp_number_id'
    FROM jsonb_array_elements(v_rejected) i
    ORDER BY md5((i -> 'item')::text), i ->> 'problem', i ->> 'path'
    ON CONFLICT (md5(item::text), reason, path) DO UPDATE SET times = r.times + 1, last_at = clock_timestamp();

    RETURN jsonb_build_object(
        'statuses', jsonb_build_object(
            'stored', v_statuses, 'repeated', v_found_statuses - v_refused_statuses - v_statuses),
        'messages', jsonb_build_object(
            'stored', v_messages, 'repeated', v_found_messages - v_refused_messages - v_messages),
        'rejected', coalesce((
            SELECT jsonb_agg(jsonb_build_object('path', i -> 'path', 'reason', i -> 'problem')) FROM jsonb_array_elements(v_rejected) i), '[]'));
END
$$;

-- Name: is_data_error(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.is_data_error(p_code text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    -- 22 data exception, 23 integrity, 54 program limit, P0 raised by a trigger or function, 21 cardinality, 2F/38/39 routines, 44 WITH CHECK
    SELECT left(p_code, 2) IN ('21', '22', '23', '2F', '38', '39', '44', '54', 'P0') AND p_code <> 'P0002'
$$;

-- Name: latency_block(integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.latency_block(p_seconds integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN p_seconds < 3600 THEN p_seconds / 60
        WHEN p_seconds < 86400 THEN 60 + (p_seconds - 3600) / 600
        ELSE 198 + (p_seconds - 86400) / 3600
    END
$$;

-- Name: latency_median(uuid, "char"); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.latency_median(p_campaign_id uuid, p_kind "char") RETURNS numeric
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
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
$$;

-- Name: latency_seconds(timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.latency_seconds(p_from timestamp with time zone, p_to timestamp with time zone) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN p_from IS NULL OR p_to IS NULL OR NOT isfinite(p_from) OR NOT isfinite(p_to) OR p_to < p_from THEN NULL
        -- of times further apart than an interval reaches
        WHEN p_to >= '100000-01-01 00:00+00' AND p_from < '90000-01-01 00:00+00' THEN 2147483647
        ELSE least(floor(date_part('epoch', p_to - p_from)), 2147483647)::integer
    END
$$;

-- Name: lifecycle_state(text, text, text, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.lifecycle_state(p_state text, p_status text, p_frozen_status text, p_settles_until timestamp with time zone, p_now timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN p_state IN ('frozen', 'amended') AND (p_status IS NULL OR p_status IN ('completed', p_frozen_status)) THEN p_state
        WHEN p_status IS NULL THEN 'deleted'
        WHEN p_status <> 'completed' THEN 'live'
        WHEN p_settles_until <= p_now THEN 'frozen'
        ELSE 'settling'
    END
$$;

-- Name: list_campaign_stats(uuid, text, integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.list_campaign_stats(p_user_id uuid DEFAULT NULL::uuid, p_cursor text DEFAULT NULL::text, p_limit integer DEFAULT 20) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    v_at timestamptz := 'infinity';
    v_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    v_last uuid;
    v_cursor jsonb;
    v_list jsonb[];
    v_next text;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'p_limit is %, but a page has 1 to 200 campaigns', coalesce(p_limit::text, 'null') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF false THEN
        RAISE EXCEPTION 'campaigns has no column user_id: there are no lists by user'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave p_user_id null.';
    END IF;
    IF p_cursor IS NOT NULL THEN
        BEGIN
            v_cursor := convert_from(decode(rpad(translate(left(p_cursor, 400), '-_', '+/'), (length(p_cursor) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb;
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

    -- Each object made in one go (document_json makes the same), and the array of them too: each further step would copy all.
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
            SELECT c.* FROM headrace.stg_campaigns c
            WHERE (c.created_at, c.campaign_id) <= (v_at, v_id) AND c.campaign_id IS DISTINCT FROM v_last
                AND (p_user_id IS NULL OR c.user_id = p_user_id)
            ORDER BY c.created_at DESC, c.campaign_id DESC LIMIT p_limit + 1
        ) c
        LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
        CROSS JOIN LATERAL (
            SELECT coalesce(k.state IN ('frozen', 'amended'), false) OR coalesce(c.status NOT IN ('scheduled', 'failed'), true) AS shows_numbers
        ) s
        LEFT JOIN headrace.campaign_computed_stats d
            ON d.campaign_id = c.campaign_id AND s.shows_numbers AND k.state IN ('live', 'settling', 'frozen', 'amended')
    ) u;
    RETURN jsonb_build_object('campaigns', coalesce(v_list, '{}'), 'next_cursor', v_next);
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
            o.template_name, o.bits,
            headrace.latency_seconds(o.sent_at, o.delivered_at) AS delivered_after, headrace.latency_seconds(o.sent_at, o.read_at) AS read_after
        FROM headrace.message_outcome_live o WHERE o.campaign_id = p_campaign_id
    ), template AS (
        SELECT
            o.template_name, count(*) AS total,
            count(*) FILTER (WHERE o.bits & 1 > 0) AS sent, count(*) FILTER (WHERE o.bits & 2 > 0) AS delivered,
            count(*) FILTER (WHERE o.bits & 4 > 0) AS read, count(*) FILTER (WHERE o.bits & 32 > 0) AS replied,
            count(*) FILTER (WHERE o.bits & 8 > 0) AS failed, count(*) FILTER (WHERE o.bits & 16 > 0) AS failed_queue
        FROM outcome o GROUP BY o.template_name
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
                FROM outcome o),
        'template_stats', coalesce(jsonb_agg(
            jsonb_build_object('template_name', t.template_name)
            || headrace.counters_json(t.total, t.sent, t.delivered, t.read, t.replied, t.failed, t.failed_queue)
            ORDER BY t.template_name COLLATE "C"), '[]'))
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
    PERFORM FROM headrace.campaign c WHERE c.campaign_id = ANY (p_campaigns) ORDER BY c.campaign_id FOR NO KEY UPDATE;
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
        v_place := width_bucket(p_more_values[i], vals);  -- how many are not greater
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
    AS $$
    SELECT CASE WHEN p_evidence & 2 > 0 THEN p_evidence & 7
        ELSE coalesce(p_evidence, 0) & 9
            | CASE p_queue_status WHEN 'sent' THEN 1 WHEN 'failed' THEN 24 ELSE 0 END
    END
$$;

-- Name: missing_change_log_days(integer); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.missing_change_log_days(p_ahead integer DEFAULT 14) RETURNS SETOF date
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT d.day FROM (
        SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, p_ahead) n
        UNION SELECT DISTINCT (changed_at AT TIME ZONE 'UTC')::date FROM headrace.change_log_default
    ) d
    WHERE to_regclass('headrace.change_log_' || to_char(d.day, 'YYYYMMDD')) IS NULL
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

-- Name: oldest_writer(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.oldest_writer() RETURNS TABLE(pid integer, role_name name, application_name text, seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT a.pid, a.usename, coalesce(a.application_name, ''), extract(EPOCH FROM clock_timestamp() - a.xact_start)::double precision
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
    ORDER BY a.xact_start NULLS LAST, age(a.backend_xid) DESC
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
        FROM headrace.stg_message_status_logs l
        WHERE (l.created_at < now() - p_older_than) IS NOT FALSE
            AND NOT EXISTS (SELECT FROM headrace.stg_send_queue q WHERE q.whatsapp_message_id = l.whatsapp_message_id)
    ), placed AS (
        SELECT
            o.id, o.status, o.created_at,
            m.id IS NOT NULL AS in_messages,
            row_number() OVER (PARTITION BY o.status ORDER BY o.created_at DESC NULLS LAST, o.id DESC) AS place
        FROM orphan o
        LEFT JOIN (SELECT DISTINCT x.whatsapp_message_id::text AS id FROM "public".messages x) m ON m.id = o.whatsapp_message_id
    )
    SELECT
        a.status, a.statuses, coalesce(p.orphaned, 0), coalesce(p.in_messages, 0), p.oldest, p.newest, coalesce(p.examples, '{}')
    FROM (
        SELECT l.status, count(*) AS statuses FROM headrace.stg_message_status_logs l
        WHERE (l.created_at < now() - p_older_than) IS NOT FALSE GROUP BY l.status
    ) a
    LEFT JOIN (
        SELECT
            o.status, count(*) AS orphaned, count(*) FILTER (WHERE o.in_messages) AS in_messages,
            min(o.created_at) AS oldest, max(o.created_at) AS newest,
            array_agg(o.id ORDER BY o.place) FILTER (WHERE o.place <= p_examples) AS examples
        FROM placed o GROUP BY o.status
    ) p ON p.status IS NOT DISTINCT FROM a.status
    ORDER BY 3 DESC, 1
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
    -- Rows that a restore brought along bear transaction ids of another life; those would be read again when ids come round.
    IF NOT EXISTS (SELECT FROM headrace.stream_cursor) THEN
        DELETE FROM headrace.change_log WHERE xid >= pg_snapshot_xmax(pg_current_snapshot());
    END IF;
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
    v_locked uuid[];
    v_campaign uuid;
    v_status text;  -- null: the source has no such campaign
    k headrace.campaign;
    v_changes headrace.outcome_change[];
    v_rows jsonb;  -- that there were before the count that is frozen
    v_wrong bigint;
    v_changed bigint := 0;
BEGIN
    -- Messages of these campaigns may still count for another one: their fold is to come. That one is held too.
    v_locked := ARRAY(
        SELECT id FROM unnest(p_campaigns) id WHERE id IS NOT NULL
        UNION
        SELECT o.campaign_id FROM headrace.stg_send_queue q
        INNER JOIN headrace.message_outcome o ON o.message_id = q.id::text
        WHERE q.campaign_id = ANY (p_campaigns) AND o.campaign_id <> q.campaign_id
    );
    PERFORM headrace.lock_campaigns(v_locked);

    FOR v_campaign IN SELECT DISTINCT id FROM unnest(p_campaigns) id WHERE id IS NOT NULL ORDER BY id LOOP
        -- Before the truth is read: what appears or goes after this has a change of its own, which asks for a rebuild.
        SELECT coalesce(c.status, '') INTO v_status FROM headrace.stg_campaigns c WHERE c.campaign_id = v_campaign;
        PERFORM headrace.settle_campaigns(ARRAY[v_campaign], false);
        SELECT * INTO k FROM headrace.campaign c WHERE c.campaign_id = v_campaign;
        IF k.state IN ('frozen', 'amended') AND v_status IS NULL THEN
            UPDATE headrace.campaign_computed_stats d SET deleted_at = clock_timestamp()
            WHERE d.campaign_id = v_campaign AND d.deleted_at IS NULL;
            DELETE FROM headrace.campaign_stats_pending_amendment p WHERE p.campaign_id = v_campaign;
            UPDATE headrace.campaign c SET rebuild_requested_at = NULL, late_messages = NULL WHERE c.campaign_id = v_campaign;
            CONTINUE;
        ELSIF k.state IN ('frozen', 'amended') THEN
            UPDATE headrace.campaign_computed_stats d SET deleted_at = NULL
            WHERE d.campaign_id = v_campaign AND d.deleted_at IS NOT NULL;
            v_wrong := headrace.amend_campaign(v_campaign, v_status, false, false);
            CONTINUE WHEN v_wrong IS NULL;
            v_changed := v_changed + v_wrong;
            PERFORM headrace.settle_campaigns(ARRAY[v_campaign], false);
            SELECT * INTO k FROM headrace.campaign c WHERE c.campaign_id = v_campaign;
            IF k.state IN ('frozen', 'amended') THEN
                UPDATE headrace.campaign SET
                    rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(),
                    rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
                WHERE campaign_id = v_campaign;
                CONTINUE;
            END IF;
        END IF;
        v_rows := NULL;
        IF headrace.lifecycle_state(k.state, v_status, k.frozen_status, k.settles_until, clock_timestamp()) = 'frozen' THEN
            v_rows := headrace.source_row_counts(v_campaign);
        END IF;
        -- OFFSET 0: both sides are campaign-sized sets, to be hashed once each.
        SELECT array_agg(ROW(
                coalesce(o.message_id, t.message_id), o.campaign_id, o.template_name, o.bits,
                o.sent_at, o.delivered_at, o.read_at, o.replied_at,
                t.campaign_id, t.template_name, t.bits, t.sent_at, t.delivered_at, t.read_at, t.replied_at)::headrace.outcome_change)
        INTO v_changes
        FROM (
            SELECT
                v.id::text AS message_id, v.campaign_id, v.template_name, v.bits::smallint AS bits,
                v.sent_at, v.delivered_at, v.read_at, v.replied_at
            FROM headrace.message_outcome_live v WHERE v.campaign_id = v_campaign OFFSET 0
        ) t
        FULL JOIN (
            SELECT s.* FROM headrace.message_outcome s WHERE s.campaign_id = v_campaign
            UNION ALL
            SELECT s.* FROM headrace.stg_send_queue q INNER JOIN headrace.message_outcome s ON s.message_id = q.id::text
            WHERE q.campaign_id = v_campaign AND s.campaign_id <> v_campaign
            OFFSET 0
        ) o ON o.message_id = t.message_id
        WHERE (o.campaign_id, o.template_name, o.bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at)
            IS DISTINCT FROM (t.campaign_id, t.template_name, t.bits, t.sent_at, t.delivered_at, t.read_at, t.replied_at)
            -- without a campaign to count for, a message that counts elsewhere is left to its own fold
            AND (t.message_id IS NOT NULL OR o.campaign_id = v_campaign);
        IF EXISTS (SELECT FROM unnest(v_changes) d WHERE d.old_campaign <> ALL (v_locked)) THEN
            RAISE EXCEPTION 'messages moved between campaigns while they were being counted; trying again' USING ERRCODE = 'serialization_failure';
        END IF;
        v_changed := v_changed + headrace.apply_outcomes(v_changes, v_campaign);
        -- A rebuild trusts no counter: all are set to what the outcomes add up to. Wrong ones are told where no message was.
        v_wrong := headrace.store_counts(v_campaign, false);
        v_changed := v_changed + CASE WHEN v_changes IS NULL THEN v_wrong ELSE 0 END;

        k.state := headrace.lifecycle_state(k.state, v_status, k.frozen_status, k.settles_until, clock_timestamp());
        UPDATE headrace.campaign SET
            state = CASE k.state WHEN 'frozen' THEN 'settling' ELSE k.state END, rebuild_requested_at = NULL, rebuilt_at = clock_timestamp(),
            rebuild_failures = 0, rebuild_error = NULL, rebuild_not_before = NULL
        WHERE campaign_id = v_campaign;
        IF k.state = 'deleted' THEN
            UPDATE headrace.campaign c SET last_version = greatest(c.last_version, d.version)
            FROM headrace.campaign_computed_stats d WHERE c.campaign_id = v_campaign AND d.campaign_id = v_campaign;
            DELETE FROM headrace.campaign_computed_stats WHERE campaign_id = v_campaign;
        ELSE
            PERFORM headrace.refresh_documents(ARRAY[v_campaign]);
            -- One that was pending may have its document from an earlier life.
            UPDATE headrace.campaign_computed_stats d SET state = k.state
            WHERE d.campaign_id = v_campaign AND k.state <> 'frozen' AND d.state <> k.state;
        END IF;
        IF k.state = 'frozen' THEN
            PERFORM headrace.freeze_campaign(v_campaign, v_status);
            PERFORM headrace.check_frozen_rows(v_campaign, v_rows);
        END IF;
    END LOOP;
    RETURN v_changed;
END
$$;

-- Name: rebuild_due(timestamp with time zone, text, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_due(p_not_before timestamp with time zone, p_error text, p_patient boolean) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT p_not_before IS NULL OR p_not_before <= clock_timestamp() OR NOT p_patient AND p_error IS NULL
$$;

-- Name: rebuild_step(bigint, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuild_step(p_messages bigint DEFAULT 5000, p_patient boolean DEFAULT false) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_done integer := 0;
    v_counted bigint := 0;
    v_campaign uuid;
    v_code text;
    v_message text;
BEGIN
    LOOP
        SELECT c.campaign_id INTO v_campaign FROM headrace.campaign c
        WHERE (c.rebuild_requested_at IS NOT NULL OR c.state = 'settling' AND c.settles_until <= now())
            AND headrace.rebuild_due(c.rebuild_not_before, c.rebuild_error, p_patient)
        ORDER BY c.rebuild_requested_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        BEGIN
            PERFORM headrace.rebuild_campaign_stats(ARRAY[v_campaign]);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            IF NOT headrace.is_data_error(v_code) THEN
                RAISE;
            END IF;
            UPDATE headrace.campaign c SET
                rebuild_failures = c.rebuild_failures + 1, rebuild_error = v_code || ' ' || v_message,
                rebuild_not_before = clock_timestamp() + least(interval '1 minute' * 2 ^ least(c.rebuild_failures, 20), interval '1 day')
            WHERE c.campaign_id = v_campaign;
        END;
        v_done := v_done + 1;
        v_counted := v_counted + coalesce((SELECT sum(s.total) FROM headrace.campaign_template_stats s WHERE s.campaign_id = v_campaign), 0);
        EXIT WHEN v_counted >= p_messages OR v_done >= 100;
    END LOOP;
    RETURN v_done;
END
$$;

-- Name: rebuilds_pending(boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.rebuilds_pending(p_patient boolean DEFAULT false) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT count(*) FROM headrace.campaign c
    WHERE (c.rebuild_requested_at IS NOT NULL OR c.state = 'settling' AND c.settles_until <= now())
        AND headrace.rebuild_due(c.rebuild_not_before, c.rebuild_error, p_patient)
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

-- Name: refresh_documents(uuid[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.refresh_documents(p_campaigns uuid[], p_frozen boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_written bigint;
BEGIN
    PERFORM headrace.lock_campaigns(p_campaigns);
    WITH document AS (
        SELECT
            k.id AS campaign_id,
            coalesce(jsonb_agg(
                jsonb_build_object('template_name', s.template_name)
                || headrace.counters_json(s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)
                ORDER BY s.template_name COLLATE "C") FILTER (WHERE s.campaign_id IS NOT NULL), '[]') AS template_stats,
            headrace.counters_json(
                coalesce(sum(s.total), 0)::bigint, coalesce(sum(s.sent), 0)::bigint, coalesce(sum(s.delivered), 0)::bigint,
                coalesce(sum(s.read), 0)::bigint, coalesce(sum(s.replied), 0)::bigint, coalesce(sum(s.failed), 0)::bigint,
                coalesce(sum(s.failed_queue), 0)::bigint)
                || jsonb_build_object(
                    'median_seconds_to_delivered', headrace.latency_median(k.id, 'd'), 'median_seconds_to_read', headrace.latency_median(k.id, 'r')) AS totals
        FROM (SELECT DISTINCT id FROM unnest(p_campaigns) id) k
        LEFT JOIN headrace.campaign_template_stats s ON s.campaign_id = k.id
        GROUP BY k.id
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
    RETURN v_written;
END
$$;

-- Name: register_stream(text, text[], text, integer, boolean, text, text, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.register_stream(p_stream text, p_sources text[], p_handler text, p_shards integer DEFAULT 1, p_ordered boolean DEFAULT false, p_rebuild_step text DEFAULT NULL::text, p_rebuilds_pending text DEFAULT NULL::text, p_rebuild_all text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    IF to_regprocedure(p_handler || '(headrace.change_log[])') IS NULL THEN
        RAISE EXCEPTION 'stream %: there is no function %(headrace.change_log[]); create it first', p_stream, p_handler
            USING ERRCODE = 'undefined_function';
    END IF;
    INSERT INTO headrace.stream AS s (stream, sources, handler, shards, ordered, rebuild_step, rebuilds_pending, rebuild_all)
    VALUES (p_stream, p_sources, p_handler, p_shards, p_ordered, p_rebuild_step, p_rebuilds_pending, p_rebuild_all)
    ON CONFLICT (stream) DO UPDATE SET
        sources = excluded.sources, handler = excluded.handler, ordered = excluded.ordered,
        rebuild_step = excluded.rebuild_step, rebuilds_pending = excluded.rebuilds_pending, rebuild_all = excluded.rebuild_all;
    IF NOT EXISTS (SELECT FROM headrace.stream_cursor WHERE stream = p_stream) THEN
        PERFORM headrace.rebase_stream(p_stream, p_shards);
    END IF;
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
    WHERE NOT EXISTS (SELECT FROM headrace.stg_campaigns c WHERE c.campaign_id = id) ORDER BY id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no campaign %', v_missing USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM headrace.lock_campaigns(p_campaigns);
    FOR v_campaign, v_status IN
        SELECT k.campaign_id, coalesce(c.status, '') FROM headrace.campaign k INNER JOIN headrace.stg_campaigns c ON c.campaign_id = k.campaign_id
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
    AS $$
    SELECT 604800.0::numeric
$$;

-- Name: request_amendments(uuid[], text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.request_amendments(p_campaigns uuid[], p_messages text[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    UPDATE headrace.campaign c SET
        rebuild_requested_at = coalesce(c.rebuild_requested_at, clock_timestamp()),
        -- Each counts the whole campaign: of a large one late changes are gathered, so that a worker has ten times as long for others.
        rebuild_not_before = CASE WHEN k.total >= 5000 THEN k.last_at + least(interval '0.2 ms' * k.total, interval '1 minute') END,
        -- some of them, to be named in the amendment
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
        p_campaigns, ARRAY(SELECT campaign_id FROM headrace.stg_campaigns UNION SELECT campaign_id FROM headrace.campaign WHERE state <> 'deleted'));
    v_count bigint;
BEGIN
    PERFORM headrace.lock_campaigns(v_campaigns);
    UPDATE headrace.campaign SET rebuild_requested_at = clock_timestamp(), rebuild_not_before = NULL WHERE campaign_id = ANY (v_campaigns);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;

-- Name: settle_campaigns(uuid[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.settle_campaigns(p_campaigns uuid[], p_noticed boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
BEGIN
    WITH found AS (
        SELECT
            k.campaign_id, s.completed_at, k.state IN ('live', 'settling') AS counted,
            s.completed_at IS NOT NULL AND k.announced_at IS NULL
                AND (p_noticed OR k.rebuilt_at IS NOT NULL AND k.completed_at IS NULL) AS announced
        FROM headrace.campaign k
        LEFT JOIN headrace.stg_campaigns c ON c.campaign_id = k.campaign_id
        CROSS JOIN LATERAL (
            -- What was noticed is not in the future: a later time was the source's own, and was taken back.
            SELECT CASE
                WHEN c.status = 'completed' THEN coalesce(c.completed_at, least(k.completed_at, k.announced_at, clock_timestamp()))
            END AS completed_at
        ) s
        WHERE k.campaign_id = ANY (p_campaigns)
    ), announced AS (
        INSERT INTO headrace.campaign_completion (campaign_id, completed_at)
        SELECT f.campaign_id, f.completed_at FROM found f WHERE f.announced ORDER BY f.completed_at
        RETURNING 1
    ), forgotten AS (
        -- Who adds to the table takes away what is old: a few of the oldest, so that it is cheap and keeps up.
        DELETE FROM headrace.campaign_completion o
        WHERE EXISTS (SELECT FROM announced) AND o.noticed_at < clock_timestamp() - interval '30 days'
            AND o.id IN (SELECT e.id FROM headrace.campaign_completion e ORDER BY e.id LIMIT 100 FOR UPDATE SKIP LOCKED)
    ), settled AS (
        UPDATE headrace.campaign k SET
            completed_at = f.completed_at,
            reopened_at = CASE WHEN f.completed_at IS NOT NULL THEN k.reopened_at END,
            announced_at = CASE WHEN f.completed_at IS NULL THEN NULL WHEN f.announced THEN clock_timestamp() ELSE k.announced_at END,
            settles_until = CASE
                WHEN k.state NOT IN ('frozen', 'amended') AND f.completed_at IS NOT NULL
                    -- a time that the window can be added to
                    THEN least(greatest(f.completed_at, k.reopened_at), '200000-01-01') + headrace.settle_window()
            END,
            state = CASE WHEN NOT f.counted THEN k.state WHEN f.completed_at IS NULL THEN 'live' ELSE 'settling' END
        FROM found f
        WHERE k.campaign_id = f.campaign_id
        RETURNING k.campaign_id, k.state
    )
    UPDATE headrace.campaign_computed_stats d SET state = s.state
    FROM settled s WHERE d.campaign_id = s.campaign_id AND s.state IN ('live', 'settling') AND d.state <> s.state;
END
$$;

-- Name: settle_window(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.settle_window() RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT make_interval(secs => 604800.0)
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
        FROM headrace.stg_send_queue q WHERE q.campaign_id = p_campaign_id
    )
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'send_queue', (SELECT count(*) FROM headrace.stg_send_queue q WHERE q.campaign_id = p_campaign_id),
        'message_status_logs', (
            SELECT count(*) FROM headrace.stg_message_status_logs l
            WHERE l.whatsapp_message_id IN (SELECT q.whatsapp_message_id FROM headrace.stg_send_queue q WHERE q.campaign_id = p_campaign_id)),
        'messages', (
            SELECT count(*) FROM headrace.stg_incoming_messages m
            WHERE m.context_message_id IS NULL AND extract(EPOCH FROM m.created_at) BETWEEN s.since AND s.until
                AND (m.user_phone, m.whatsapp_number_id) IN (
                    SELECT q.user_phone, q.whatsapp_number_id FROM headrace.stg_send_queue q WHERE q.campaign_id = p_campaign_id)
        ) + (
            SELECT count(*) FROM headrace.stg_incoming_messages m
            WHERE m.context_message_id IN (SELECT q.whatsapp_message_id FROM headrace.stg_send_queue q WHERE q.campaign_id = p_campaign_id)),
        'messages_from', s.since, 'messages_until', s.until))
    FROM stretch s
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
        FROM headrace.stg_message_status_logs l WHERE p_table = 'message_status_logs'
        UNION ALL
        SELECT q.status, coalesce(q.status IN ('queued', 'sent', 'failed'), false), q.id::text
        FROM headrace.stg_send_queue q WHERE p_table = 'send_queue'
        UNION ALL
        SELECT m.direction::text, coalesce(m.direction::text IN ('incoming', 'outgoing'), false), m.id::text
        FROM "public".messages m WHERE p_table = 'messages'
        UNION ALL
        SELECT c.status, coalesce(c.status IN ('draft', 'scheduled', 'running', 'paused', 'completed', 'failed'), false), c.campaign_id::text
        FROM headrace.stg_campaigns c WHERE p_table = 'campaigns'
    ) v
    GROUP BY v.value, v.known
    ORDER BY 3 DESC, 1
$$;

-- Name: stats_differences(jsonb, jsonb, jsonb, jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stats_differences(p_old_templates jsonb, p_old_totals jsonb, p_new_templates jsonb, p_new_totals jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
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
    WHERE o.value IS DISTINCT FROM n.value AND coalesce(o.key, n.key) NOT LIKE '%\_rate'
$$;

-- Name: status_bits(text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.status_bits(p_status text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE p_status
        WHEN 'sent' THEN 1 WHEN 'delivered' THEN 3 WHEN 'read' THEN 7 WHEN 'played' THEN 7 WHEN 'failed' THEN 8 ELSE 0
    END
$$;

-- Name: store_counts(uuid, boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.store_counts(p_campaign_id uuid, p_live boolean) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
    v_wrong bigint;
BEGIN
    PERFORM headrace.unpack_hours(p_campaign_id) WHERE p_live;
    -- One statement, so that counters, series and latencies are of one moment.
    WITH outcome AS MATERIALIZED (
        SELECT o.template_name, o.bits::integer AS bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at
        FROM headrace.message_outcome o WHERE o.campaign_id = p_campaign_id AND NOT p_live
        UNION ALL
        SELECT o.template_name, o.bits, o.sent_at, o.delivered_at, o.read_at, o.replied_at
        FROM headrace.message_outcome_live o WHERE o.campaign_id = p_campaign_id AND p_live
    ), counted AS (
        SELECT
            b.template_name, sum(b.n) AS total,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 1 > 0), 0) AS sent, coalesce(sum(b.n) FILTER (WHERE b.bits & 2 > 0), 0) AS delivered,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 4 > 0), 0) AS read, coalesce(sum(b.n) FILTER (WHERE b.bits & 32 > 0), 0) AS replied,
            coalesce(sum(b.n) FILTER (WHERE b.bits & 8 > 0), 0) AS failed, coalesce(sum(b.n) FILTER (WHERE b.bits & 16 > 0), 0) AS failed_queue
        FROM (SELECT o.template_name, o.bits, count(*) AS n FROM outcome o GROUP BY 1, 2) b GROUP BY b.template_name
    ), gone AS (
        DELETE FROM headrace.campaign_template_stats s
        WHERE s.campaign_id = p_campaign_id
            AND NOT EXISTS (SELECT FROM counted k WHERE k.template_name IS NOT DISTINCT FROM s.template_name)
        RETURNING 1
    ), healed AS (
        UPDATE headrace.campaign_template_stats s SET
            total = k.total, sent = k.sent, delivered = k.delivered, read = k.read, replied = k.replied,
            failed = k.failed, failed_queue = k.failed_queue, updated_at = clock_timestamp()
        FROM counted k
        WHERE s.campaign_id = p_campaign_id AND s.template_name IS NOT DISTINCT FROM k.template_name
            AND (s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)
            IS DISTINCT FROM (k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue)
        RETURNING 1
    ), made AS (
        INSERT INTO headrace.campaign_template_stats
            (campaign_id, template_name, total, sent, delivered, read, replied, failed, failed_queue)
        SELECT p_campaign_id, k.template_name, k.total, k.sent, k.delivered, k.read, k.replied, k.failed, k.failed_queue FROM counted k
        WHERE NOT EXISTS (
            SELECT FROM headrace.campaign_template_stats s
            WHERE s.campaign_id = p_campaign_id AND s.template_name IS NOT DISTINCT FROM k.template_name)
        RETURNING 1
    ), together AS (
        -- few, so that what follows is cheap: most messages share their hours with many others
        SELECT
            date_bin('1 hour', o.sent_at, '2000-01-01 00:00+00') AS sent, date_bin('1 hour', o.delivered_at, '2000-01-01 00:00+00') AS delivered,
            date_bin('1 hour', o.read_at, '2000-01-01 00:00+00') AS read, date_bin('1 hour', o.replied_at, '2000-01-01 00:00+00') AS replied,
            count(*) AS n
        FROM outcome o GROUP BY 1, 2, 3, 4
    ), hours AS (
        SELECT
            v.hour, sum(t.n) FILTER (WHERE v.kind = 's') AS sent, sum(t.n) FILTER (WHERE v.kind = 'd') AS delivered,
            sum(t.n) FILTER (WHERE v.kind = 'r') AS read, sum(t.n) FILTER (WHERE v.kind = 'a') AS replied
        FROM together t
        CROSS JOIN LATERAL (VALUES ('s', t.sent), ('d', t.delivered), ('r', t.read), ('a', t.replied)) v (kind, hour)
        WHERE isfinite(v.hour) GROUP BY v.hour
    ), hours_gone AS (
        DELETE FROM headrace.campaign_hour h
        WHERE h.campaign_id = p_campaign_id AND NOT EXISTS (SELECT FROM hours k WHERE k.hour = h.hour)
        RETURNING 1
    ), hours_set AS (
        INSERT INTO headrace.campaign_hour AS h (campaign_id, hour, sent, delivered, read, replied)
        SELECT p_campaign_id, k.hour, coalesce(k.sent, 0), coalesce(k.delivered, 0), coalesce(k.read, 0), coalesce(k.replied, 0) FROM hours k
        ON CONFLICT (campaign_id, hour) DO UPDATE SET
            sent = excluded.sent, delivered = excluded.delivered, read = excluded.read, replied = excluded.replied
        WHERE (h.sent, h.delivered, h.read, h.replied) <> (excluded.sent, excluded.delivered, excluded.read, excluded.replied)
        RETURNING 1
    ), latencies AS (
        SELECT
            u.kind, headrace.latency_block(u.seconds) AS block, sum(u.n) AS messages,
            array_agg(u.seconds ORDER BY u.seconds) AS seconds, array_agg(u.n ORDER BY u.seconds) AS counts
        FROM (
            SELECT 'd'::"char" AS kind, headrace.latency_seconds(o.sent_at, o.delivered_at) AS seconds, count(*)::integer AS n
            FROM outcome o WHERE o.delivered_at IS NOT NULL GROUP BY 2
            UNION ALL
            SELECT 'r', headrace.latency_seconds(o.sent_at, o.read_at), count(*)::integer
            FROM outcome o WHERE o.read_at IS NOT NULL GROUP BY 2
        ) u
        WHERE u.seconds IS NOT NULL
        GROUP BY 1, 2
    ), latencies_gone AS (
        DELETE FROM headrace.campaign_latency l
        WHERE l.campaign_id = p_campaign_id AND NOT EXISTS (SELECT FROM latencies k WHERE k.kind = l.kind AND k.block = l.block)
        RETURNING l.messages
    ), latencies_set AS (
        INSERT INTO headrace.campaign_latency AS l (campaign_id, kind, block, messages, seconds, counts)
        SELECT p_campaign_id, k.kind, k.block, k.messages, k.seconds, k.counts FROM latencies k
        ON CONFLICT (campaign_id, kind, block) DO UPDATE SET
            messages = excluded.messages, seconds = excluded.seconds, counts = excluded.counts
        WHERE (l.messages, l.seconds, l.counts) <> (excluded.messages, excluded.seconds, excluded.counts)
        RETURNING 1
    )
    SELECT
        (SELECT count(*) FROM gone) + (SELECT count(*) FROM healed) + (SELECT count(*) FROM made)
        + (SELECT count(*) FROM hours_gone) + (SELECT count(*) FROM hours_set)
        -- A frozen campaign had none.
        + CASE WHEN p_live THEN 0 ELSE (SELECT count(*) FROM latencies_gone WHERE messages > 0) + (SELECT count(*) FROM latencies_set) END
    INTO v_wrong;
    RETURN v_wrong;
END
$$;

-- Name: store_webhook_items(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.store_webhook_items(p_items jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    v_statuses bigint := 0;
    v_messages bigint := 0;
BEGIN
    IF p_items @> '[{"kind": "status"}]' THEN
        INSERT INTO "public".message_status_logs (
            whatsapp_message_id, status, created_at, campaign_id, errors)
        SELECT
            s.message_id, s.status, s.at, s.campaign_id, s.errors
        FROM (
            SELECT DISTINCT ON (i.message_id, i.status, i.at)
                i.message_id, i.status, i.at, i.n,
                (
                    SELECT q.campaign_id::text::uuid FROM headrace.stg_send_queue q
                    WHERE q.whatsapp_message_id = i.message_id LIMIT 1
                ) AS campaign_id,
                i.errors
            FROM ROWS FROM (
                jsonb_to_recordset(p_items) AS (kind text, message_id text, status text, at timestamptz, errors jsonb)
            ) WITH ORDINALITY i (kind, message_id, status, at, errors, n)
            WHERE i.kind = 'status' AND NOT EXISTS (
                SELECT FROM "public".message_status_logs l
                WHERE l.whatsapp_message_id = i.message_id AND l.status = i.status AND l.created_at = i.at)
            ORDER BY i.message_id, i.status, i.at, i.n
        ) s
        ORDER BY s.n;
        GET DIAGNOSTICS v_statuses = ROW_COUNT;
    END IF;

    IF p_items @> '[{"kind": "message"}]' THEN
        INSERT INTO "public".messages (
            whatsapp_message_id, user_phone, whatsapp_number_id, direction, created_at, context_message_id)
        SELECT
            m.message_id, m.user_phone, m.whatsapp_number_id, 'incoming', m.at, m.reference
        FROM (
            SELECT DISTINCT ON (i.message_id, i.user_phone, i.whatsapp_number_id, i.at) i.*
            FROM ROWS FROM (
                jsonb_to_recordset(p_items) AS (
                    kind text, message_id text, user_phone text, whatsapp_number_id text, at timestamptz, reference text)
            ) WITH ORDINALITY i (kind, message_id, user_phone, whatsapp_number_id, at, reference, n)
            WHERE i.kind = 'message' AND NOT EXISTS (
                -- by the contract's index of incoming messages
                SELECT FROM "public".messages e
                WHERE e.user_phone = i.user_phone AND e.whatsapp_number_id = i.whatsapp_number_id AND e.created_at = i.at
                    AND e.direction = 'incoming' AND e.whatsapp_message_id = i.message_id)
            ORDER BY i.message_id, i.user_phone, i.whatsapp_number_id, i.at, i.n
        ) m
        ORDER BY m.n;
        GET DIAGNOSTICS v_messages = ROW_COUNT;
    END IF;
    RETURN jsonb_build_object('statuses', v_statuses, 'messages', v_messages);
END
$$;

-- Name: stray_changes(); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stray_changes() RETURNS TABLE(day date, changes bigint, sources text[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT d.day, count(*), array_agg(DISTINCT d.source ORDER BY d.source)
    FROM (SELECT (l.changed_at AT TIME ZONE 'UTC')::date AS day, l.source FROM headrace.change_log_default l) d
    GROUP BY d.day ORDER BY d.day
$$;

-- Name: stream_poll(text[], boolean); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.stream_poll(p_streams text[] DEFAULT NULL::text[], p_patient boolean DEFAULT false) RETURNS TABLE(stream text, shard integer, work text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
DECLARE
    v_now constant pg_snapshot := pg_current_snapshot();
    v_xmax constant xid8 := pg_snapshot_xmax(v_now);
    v_cluster constant bigint := (SELECT system_identifier FROM pg_control_system());
    v_committed xid8[];
    v_low xid8;
    v_high xid8;
    v_first boolean;
    c record;
BEGIN
    FOR c IN
        SELECT k.* FROM headrace.stream_cursor k WHERE p_streams IS NULL OR k.stream = ANY (p_streams) ORDER BY k.stream, k.shard
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
            -- Between the transactions that still run, so that a bulk load under way is not read over at every poll.
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
    RETURN QUERY SELECT r.stream, -1, 'rebuild' FROM headrace.stream_rebuilds(p_streams, p_patient) r WHERE r.waiting > 0;
END
$$;

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
        -- OFFSET 0 keeps the planner from answering min and max by walking the index on pos through the whole log.
        SELECT count(*), count(*) FILTER (WHERE w.ours), coalesce(min(w.pos) FILTER (WHERE w.ours) - 1, 0), coalesce(max(w.pos) FILTER (WHERE w.ours), 0)
        INTO v_scanned, c.window_rows, c.pos, c.last_pos
        FROM (
            SELECT u.pos, u.source = ANY (s.sources)
                AND (s.shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, s.shards) = p_shard) AS ours
            FROM (
                SELECT l.pos, l.xid, l.source, l.entity_id FROM headrace.change_log l WHERE l.xid = ANY (v_committed)
                UNION ALL
                SELECT l.pos, l.xid, l.source, l.entity_id FROM headrace.change_log l WHERE l.xid >= v_low AND l.xid < v_high
            ) u
            WHERE pg_visible_in_snapshot(u.xid, c.cur)
            OFFSET 0
        ) w;
    END IF;

    IF c.window_rows = 0 THEN
        v_batch := '{}';
        IF v_scanned = 0 THEN
            RETURN v_batch;  -- nothing was there at all: leave the cursor, write no WAL
        END IF;
    ELSIF c.window_rows <= 4 * p_limit THEN
        SELECT array_agg(w.change ORDER BY w.pos) INTO v_batch FROM (
            SELECT u.pos, u.change FROM (
                SELECT l.pos, l.xid, l.source, l.entity_id, l AS change FROM headrace.change_log l WHERE l.xid = ANY (v_committed)
                UNION ALL
                SELECT l.pos, l.xid, l.source, l.entity_id, l AS change FROM headrace.change_log l WHERE l.xid >= v_low AND l.xid < v_high
                OFFSET 0
            ) u
            WHERE u.pos > c.pos AND pg_visible_in_snapshot(u.xid, c.cur) AND u.source = ANY (s.sources)
                AND (s.shards = 1 OR mod(hashtextextended(coalesce(u.entity_id, ''), 0) & 9223372036854775807, s.shards) = p_shard)
            ORDER BY u.pos LIMIT p_limit
        ) w;
    ELSE
        -- A large window is mostly one bulk transaction: dense in pos, so that pos is the way through it.
        SELECT array_agg(w.change ORDER BY w.pos) INTO v_batch FROM (
            SELECT l.pos, l AS change FROM headrace.change_log l
            WHERE l.pos > c.pos AND l.pos <= c.last_pos
                AND (l.xid = ANY (v_committed) OR l.xid >= v_low AND l.xid < v_high)
                AND pg_visible_in_snapshot(l.xid, c.cur) AND l.source = ANY (s.sources)
                AND (s.shards = 1 OR mod(hashtextextended(coalesce(l.entity_id, ''), 0) & 9223372036854775807, s.shards) = p_shard)
            ORDER BY l.pos LIMIT p_limit
        ) w;
    END IF;
    v_batch := coalesce(v_batch, '{}');

    IF cardinality(v_batch) < p_limit OR (v_batch[cardinality(v_batch)]).pos >= c.last_pos THEN
        UPDATE headrace.stream_cursor k SET
            prev = c.cur, cur = NULL, pos = 0, last_pos = NULL, window_rows = NULL,
            changes_applied = k.changes_applied + cardinality(v_batch), advanced_at = clock_timestamp()
        WHERE k.stream = p_stream AND k.shard = p_shard;
    ELSE
        UPDATE headrace.stream_cursor k SET
            cur = c.cur, pos = (v_batch[cardinality(v_batch)]).pos, last_pos = c.last_pos, window_rows = c.window_rows,
            changes_applied = k.changes_applied + cardinality(v_batch), advanced_at = clock_timestamp()
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
    v_batch := headrace.stream_read(p_stream, p_shard, p_limit);
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
            SELECT EXISTS (SELECT FROM headrace.dead_letter d WHERE d.stream = p_stream AND d.entity_id = b.entity_id) AS waits
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
        IF s.ordered AND EXISTS (SELECT FROM headrace.dead_letter d WHERE d.stream = p_stream AND d.entity_id = v_change.entity_id) THEN
            INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, status, error_code, error, attempts)
            VALUES (p_stream, p_shard, v_change, v_change.pos, v_change.entity_id, 'waiting', '00000', 'waits behind an earlier change of the same entity', 0);
            CONTINUE;
        END IF;
        BEGIN
            EXECUTE format('SELECT %s($1)', s.handler) USING ARRAY[v_change];
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            IF NOT headrace.is_data_error(v_code) THEN
                RAISE;
            END IF;
            INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, error_code, error, next_try_at)
            VALUES (p_stream, p_shard, v_change, v_change.pos, v_change.entity_id, v_code, v_message, headrace.dead_letter_next_try(1));
            dead_letters := dead_letters + 1;
        END;
    END LOOP;
END
$_$;

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
        SELECT count(*) AS pending FROM headrace.stg_campaigns c LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
        WHERE (p_from IS NULL OR c.created_at >= p_from) AND (p_to IS NULL OR c.created_at < p_to)
            AND coalesce(k.state, 'pending') NOT IN ('live', 'settling', 'frozen', 'amended')
    ) w
    LEFT JOIN (
        SELECT
            s.template_name, count(*) AS campaigns, sum(s.total)::bigint AS total, sum(s.sent)::bigint AS sent, sum(s.delivered)::bigint AS delivered,
            sum(s.read)::bigint AS read, sum(s.replied)::bigint AS replied, sum(s.failed)::bigint AS failed, sum(s.failed_queue)::bigint AS failed_queue
        FROM headrace.stg_campaigns c
        INNER JOIN headrace.campaign k ON k.campaign_id = c.campaign_id AND k.state IN ('live', 'settling', 'frozen', 'amended')
        INNER JOIN headrace.campaign_template_stats s ON s.campaign_id = c.campaign_id
        WHERE (p_from IS NULL OR c.created_at >= p_from) AND (p_to IS NULL OR c.created_at < p_to)
            AND (p_template_name IS NULL OR s.template_name = p_template_name)
        GROUP BY s.template_name
    ) t ON true
    ORDER BY t.template_name COLLATE "C";
END
$$;

-- Name: touch_day(uuid, text[]); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.touch_day(p_campaign_id uuid, p_assets text[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    SELECT headrace.record_activity(p_assets, ARRAY[(c.created_at AT TIME ZONE 'UTC')::date], ARRAY[1::bigint])
    FROM headrace.stg_campaigns c
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
    -- One pass over the batch; each search below then runs only on what concerns it.
    SELECT
        array_agg(c.entity_id) FILTER (WHERE c.source = 'send_queue' AND c.op <> 'T'),
        array_agg(c) FILTER (WHERE c.source = 'send_queue' AND c.op IN ('U', 'D')),
        array_agg(c.data -> 'new' ->> 'whatsapp_message_id') FILTER (WHERE c.source = 'message_status_logs' AND c.op IN ('I', 'U'))
            || array_agg(c.data -> 'old' ->> 'whatsapp_message_id') FILTER (WHERE c.source = 'message_status_logs' AND c.op IN ('U', 'D')),
        array_agg(c) FILTER (WHERE c.source = 'messages' AND c.op <> 'T'),
        array_agg(DISTINCT c.scope::uuid) FILTER (WHERE c.source = 'send_queue' AND c.scope IS NOT NULL)
    INTO v_queue, v_left, v_status_ids, v_messages, campaigns
    FROM unnest(p_changes) c;

    IF v_status_ids IS NOT NULL THEN
        SELECT
            array_agg(q.id::text), array_agg(q.id::text) FILTER (WHERE q.status IS DISTINCT FROM 'sent'),
            array_agg(DISTINCT q.campaign_id)
        INTO v_by_status, v_unsent, v_more
        FROM (SELECT DISTINCT id FROM unnest(v_status_ids) id) k
        INNER JOIN headrace.stg_send_queue q ON q.whatsapp_message_id = k.id;
        campaigns := campaigns || v_more;
    END IF;

    IF v_queue IS NOT NULL OR v_unsent IS NOT NULL THEN
        SELECT array_agg(p.id), array_agg(DISTINCT p.campaign_id) INTO v_neighbours, v_more
        FROM (
            SELECT q.user_phone, q.whatsapp_number_id, q.at, q.id
            FROM unnest(v_queue || v_unsent) k (id) INNER JOIN headrace.stg_send_queue q ON q.id = k.id::uuid
            UNION
            SELECT
                c.data #>> '{old,user_phone}', c.data #>> '{old,whatsapp_number_id}',
                coalesce(c.data #>> '{old,sent_at}', c.data #>> '{old,created_at}')::timestamptz, (c.data #>> '{old,id}')::uuid
            FROM unnest(v_left) c
        ) place
        CROSS JOIN LATERAL (
            SELECT n.id::text AS id, n.campaign_id, n.at FROM headrace.stg_send_queue n
            WHERE n.user_phone = place.user_phone AND n.whatsapp_number_id = place.whatsapp_number_id
                AND (n.at, n.id) < (place.at, place.id)
                AND (n.status = 'sent' OR EXISTS (
                    SELECT FROM headrace.stg_message_status_logs l
                    WHERE l.whatsapp_message_id = n.whatsapp_message_id AND headrace.status_bits(l.status) & 1 > 0))
            ORDER BY n.at DESC, n.id DESC LIMIT 1
        ) p
        -- What stands at a place takes only replies that are later than it, and in the predecessor's window.
        WHERE EXISTS (
            SELECT FROM headrace.stg_incoming_messages m
            WHERE m.user_phone = place.user_phone AND m.whatsapp_number_id = place.whatsapp_number_id
                AND m.created_at > place.at AND m.context_message_id IS NULL
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
            WHERE k.at IS NOT NULL
        ) m
        CROSS JOIN LATERAL (
            SELECT n.id::text AS id, n.campaign_id FROM headrace.stg_send_queue n
            WHERE n.user_phone = m.phone AND n.whatsapp_number_id = m.number AND n.at < m.at
                AND (n.status = 'sent' OR EXISTS (
                    SELECT FROM headrace.stg_message_status_logs l
                    WHERE l.whatsapp_message_id = n.whatsapp_message_id AND headrace.status_bits(l.status) & 1 > 0))
            ORDER BY n.at DESC, n.id DESC LIMIT 1
        ) o;
        campaigns := campaigns || v_more;
        -- Whose reply it was before it left may have a successor since: all that its window reaches.
        SELECT v_owners || array_agg(n.id::text), array_agg(DISTINCT n.campaign_id) INTO v_owners, v_more
        FROM unnest(v_messages) c
        CROSS JOIN LATERAL (
            SELECT c.data #>> '{old,user_phone}' AS phone, c.data #>> '{old,whatsapp_number_id}' AS number,
                (c.data #>> '{old,created_at}')::timestamptz AS at
        ) m
        INNER JOIN headrace.stg_send_queue n ON n.user_phone = m.phone AND n.whatsapp_number_id = m.number AND n.at < m.at
        WHERE extract(EPOCH FROM m.at) - extract(EPOCH FROM n.at) <= headrace.reply_window();
        campaigns := campaigns || v_more;
        SELECT array_agg(q.id::text) INTO v_referred
        FROM unnest(v_messages) c
        CROSS JOIN LATERAL (VALUES (c.data #>> '{old,context_message_id}'), (c.data #>> '{new,context_message_id}')) k (id)
        INNER JOIN headrace.stg_send_queue q ON q.whatsapp_message_id = k.id;
    END IF;

    -- In the order of ids, in which the fold then goes through the indexes: a tenth less for it to do.
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

-- Name: webhook_items(jsonb); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.webhook_items(p_body jsonb) RETURNS TABLE(path text, kind text, item jsonb, whatsapp_number_id text, problem text, message_id text, status text, at timestamp with time zone, user_phone text, reference text, errors jsonb)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
    WITH entry AS (
        SELECT format('entry[%s]', e.n - 1) AS path, e.entry, true AS enveloped, e.n AS place
        FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p_body -> 'entry') = 'array' THEN p_body -> 'entry' ELSE '[]' END)
            WITH ORDINALITY e (entry, n)
        WHERE coalesce(p_body ->> 'object', 'whatsapp_business_account') = 'whatsapp_business_account'
        UNION ALL
        SELECT '', p_body, false, 0 WHERE p_body ? 'changes'
    ), change AS (
        SELECT concat_ws('.', nullif(e.path, ''), format('changes[%s]', c.n - 1)) AS path, c.change, e.enveloped, ARRAY[e.place, c.n] AS place
        FROM entry e
        CROSS JOIN jsonb_array_elements(CASE WHEN jsonb_typeof(e.entry -> 'changes') = 'array' THEN e.entry -> 'changes' ELSE '[]' END)
            WITH ORDINALITY c (change, n)
        UNION ALL
        SELECT '', p_body, false, ARRAY[-1, 0]::bigint[] WHERE p_body ? 'value'
    ), part AS (
        SELECT concat_ws('.', nullif(c.path, ''), 'value') AS path, c.change -> 'value' AS value, c.enveloped, c.place
        FROM change c
        WHERE jsonb_typeof(c.change -> 'value') = 'object' AND coalesce(c.change ->> 'field', 'messages') = 'messages'
        UNION ALL
        SELECT '', p_body, false, ARRAY[0]::bigint[] WHERE p_body ?| ARRAY['statuses', 'messages', 'errors']
    ), found AS (
        SELECT
            concat_ws('.', nullif(v.path, ''), format('%s[%s]', k.name, i.n - 1)) AS path, k.kind, i.item,
            v.value #>> '{metadata,phone_number_id}' AS number_id, v.enveloped, v.place || k.n || i.n AS place
        FROM part v
        CROSS JOIN (VALUES ('statuses', 'status', 1), ('messages', 'message', 2), ('errors', 'error', 3)) k (name, kind, n)
        CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(v.value -> k.name) = 'array' THEN v.value -> k.name ELSE '[]' END)
            WITH ORDINALITY i (item, n)
    ), misshapen AS (
        SELECT '' AS path, p_body AS item, '{}'::bigint[] AS place, b.problem
        FROM (
            SELECT CASE
                WHEN jsonb_typeof(p_body) IS DISTINCT FROM 'object' THEN 'the body is not a JSON object'
                WHEN p_body ->> 'object' <> 'whatsapp_business_account' THEN format('object is %s, not "whatsapp_business_account"', p_body -> 'object')
                WHEN jsonb_typeof(p_body -> 'entry') <> 'array' THEN 'no envelope: entry is not an array'
                WHEN p_body -> 'entry' = '[]' THEN 'no envelope: entry is empty'
                WHEN NOT p_body ? 'entry' AND NOT EXISTS (SELECT FROM found) THEN 'no envelope: entry[].changes[].value is missing'
            END AS problem
        ) b
        WHERE b.problem IS NOT NULL
        UNION ALL
        SELECT e.path, e.entry, ARRAY[e.place], 'no envelope: changes is not an array with something in it'
        FROM entry e WHERE NOT EXISTS (SELECT FROM change c WHERE c.place[1] = e.place)
        UNION ALL
        SELECT
            c.path, c.change, c.place,
            CASE
                WHEN jsonb_typeof(c.change) <> 'object' THEN 'a change that is not a JSON object'
                WHEN c.change ->> 'field' <> 'messages' THEN format('field is %s, not "messages"', c.change -> 'field')
                ELSE 'no envelope: value is not a JSON object'
            END
        FROM change c WHERE NOT EXISTS (SELECT FROM part v WHERE v.place = c.place)
        UNION ALL
        SELECT concat_ws('.', nullif(v.path, ''), k.name), v.value -> k.name, v.place, format('%s is not an array', k.name)
        FROM part v CROSS JOIN (VALUES ('statuses'), ('messages'), ('errors')) k (name)
        WHERE jsonb_typeof(v.value -> k.name) <> 'array'
        UNION ALL
        SELECT v.path, v.value, v.place, 'neither statuses nor messages'
        FROM part v WHERE NOT v.value ?| ARRAY['statuses', 'messages', 'errors']
    ), checked AS (
        SELECT
            f.*, CASE WHEN f.item ->> 'timestamp' ~ '^[0-9]{1,10}$' THEN to_timestamp((f.item ->> 'timestamp')::bigint) END AS at,
            concat_ws('; ',
                CASE WHEN NOT f.enveloped THEN 'no envelope: entry[].changes[].value is missing' END,
                CASE
                    WHEN jsonb_typeof(f.item) <> 'object' THEN 'not a JSON object'
                    WHEN f.kind = 'error' THEN 'an error of the account, not of a message'
                    WHEN f.kind = 'status' AND f.item ->> 'type' <> 'message' THEN format('the status of a %s, not of a message', f.item ->> 'type')
                    WHEN f.kind = 'message' AND f.item ->> 'type' = 'system' THEN 'a notice of the system, not a message of the contact'
                END,
                CASE WHEN jsonb_typeof(f.item) = 'object' AND f.kind <> 'error' THEN nullif(concat_ws('; ',
                    CASE WHEN jsonb_typeof(f.item -> 'id') IS DISTINCT FROM 'string' OR f.item ->> 'id' = '' THEN 'no message id (id)' END,
                    CASE WHEN f.kind = 'status' AND (jsonb_typeof(f.item -> 'status') IS DISTINCT FROM 'string' OR f.item ->> 'status' = '')
                        THEN 'no status' END,
                    CASE
                        WHEN coalesce(f.item ->> 'timestamp', '') = '' THEN 'no timestamp'
                        WHEN jsonb_typeof(f.item -> 'timestamp') NOT IN ('string', 'number') OR f.item ->> 'timestamp' !~ '^[0-9]{1,10}$'
                            THEN format('timestamp %s is not in unix seconds', f.item -> 'timestamp')
                    END,
                    CASE WHEN f.kind = 'message' AND (jsonb_typeof(f.item -> 'from') IS DISTINCT FROM 'string' OR f.item ->> 'from' = '')
                        THEN 'no sender (from)' END,
                    CASE WHEN f.kind = 'message' AND coalesce(f.number_id, '') = '' THEN 'no number (metadata.phone_number_id)' END
                ), '') END) AS problems
        FROM found f
    )
    SELECT
        u.path, u.kind, u.item, u.number_id, u.problem,
        u.item ->> 'id', u.item ->> 'status', u.at, u.item ->> 'from',
        coalesce(u.item #>> '{context,id}', u.item #>> '{reaction,message_id}'), u.item -> 'errors'
    FROM (
        SELECT path, kind, item, number_id, nullif(problems, '') AS problem, at, place FROM checked
        UNION ALL
        SELECT path, 'part', coalesce(item, 'null'), NULL, problem, NULL, place FROM misshapen
    ) u
    ORDER BY u.place
$_$;

-- Name: worker_heartbeat(text, text, integer, text, text[], bigint, text); Type: FUNCTION; Schema: headrace; Owner: -

CREATE FUNCTION headrace.worker_heartbeat(p_worker_id text, p_hostname text, p_pid integer, p_state text, p_streams text[], p_changes_applied bigint, p_last_error text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'headrace', 'pg_temp'
    AS $$
    INSERT INTO headrace.worker AS w (worker_id, hostname, pid, state, streams, changes_applied, last_error)
    VALUES (p_worker_id, p_hostname, p_pid, p_state, p_streams, p_changes_applied, p_last_error)
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
    CONSTRAINT campaign_state_known CHECK ((state = ANY (ARRAY['pending'::text, 'live'::text, 'settling'::text, 'frozen'::text, 'amended'::text, 'deleted'::text])))
)
WITH (fillfactor='70');

-- Name: TABLE campaign; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign IS 'Headrace''s own row of a campaign: the lock that folds, rebuilds and freezes share. pending: not computed yet, served live. rebuild_error: why its last rebuild failed; tried again from rebuild_not_before on. completed_at: by the source, else when it was noticed; settles_until: when it is to be frozen; source_rows: how many there were at the last freeze or amendment; late_messages: some of those whose changes asked for an amendment.';

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
    CONSTRAINT campaign_template_stats_failed CHECK (((failed >= 0) AND (failed <= (total - delivered)))),
    CONSTRAINT campaign_template_stats_failed_queue CHECK (((failed_queue >= 0) AND (failed_queue <= failed))),
    CONSTRAINT campaign_template_stats_funnel CHECK (((total >= sent) AND (sent >= delivered) AND (delivered >= read) AND (read >= 0))),
    CONSTRAINT campaign_template_stats_replied CHECK (((replied >= 0) AND (replied <= sent)))
)
WITH (fillfactor='50');

ALTER TABLE ONLY headrace.campaign_template_stats REPLICA IDENTITY FULL;

-- Name: TABLE campaign_template_stats; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.campaign_template_stats IS 'Messages per campaign and template, kept incrementally. failed_queue: the part of failed that the queue row says.';

-- Name: stg_campaigns; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.stg_campaigns AS
 SELECT id AS campaign_id,
    name,
    status,
    user_id,
    created_at,
    completed_at
   FROM public.campaigns c;

-- Name: stg_incoming_messages; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.stg_incoming_messages AS
 SELECT id,
    user_phone,
    whatsapp_number_id,
    created_at,
    context_message_id
   FROM public.messages m
  WHERE (direction = 'incoming'::text);

-- Name: stg_message_status_logs; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.stg_message_status_logs AS
 SELECT id,
    whatsapp_message_id,
    status,
    created_at
   FROM public.message_status_logs l;

-- Name: stg_send_queue; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.stg_send_queue AS
 SELECT id,
    campaign_id,
    template_name,
    status,
    whatsapp_message_id,
    user_phone,
    whatsapp_number_id,
    COALESCE(sent_at, created_at) AS at
   FROM public.send_queue q;

-- Name: message_outcome_live; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.message_outcome_live AS
 SELECT s.id,
    s.campaign_id,
    s.template_name,
    (s.bits |
        CASE
            WHEN (((s.bits & 1) > 0) AND (r.id IS NOT NULL)) THEN 32
            ELSE 0
        END) AS bits,
    s.sent_at,
    s.delivered_at,
    s.read_at,
        CASE
            WHEN ((s.bits & 1) > 0) THEN r.replied_at
            ELSE NULL::timestamp with time zone
        END AS replied_at
   FROM ((( SELECT q.id,
            q.campaign_id,
            q.template_name,
            headrace.message_bits(q.status, bit_or(headrace.status_bits(l.status))) AS bits,
            LEAST(
                CASE
                    WHEN (q.status = 'sent'::text) THEN min(COALESCE(q.sent_at, q.created_at))
                    ELSE NULL::timestamp with time zone
                END, min(l.created_at) FILTER (WHERE ((headrace.status_bits(l.status) & 1) > 0))) AS sent_at,
            min(l.created_at) FILTER (WHERE ((headrace.status_bits(l.status) & 2) > 0)) AS delivered_at,
            min(l.created_at) FILTER (WHERE ((headrace.status_bits(l.status) & 4) > 0)) AS read_at
           FROM (public.send_queue q
             LEFT JOIN headrace.stg_message_status_logs l ON ((q.whatsapp_message_id = l.whatsapp_message_id)))
          GROUP BY q.id, q.campaign_id, q.template_name, q.status) s
     JOIN headrace.stg_campaigns c ON ((s.campaign_id = c.campaign_id)))
     LEFT JOIN ( SELECT u.id,
            u.campaign_id,
            min(u.created_at) AS replied_at
           FROM ( SELECT q.id,
                    q.campaign_id,
                    m.created_at
                   FROM (headrace.stg_incoming_messages m
                     JOIN headrace.stg_send_queue q ON (((m.user_phone = q.user_phone) AND (m.whatsapp_number_id = q.whatsapp_number_id) AND (m.created_at > q.at) AND ((EXTRACT(epoch FROM m.created_at) - EXTRACT(epoch FROM q.at)) <= headrace.reply_window()))))
                  WHERE ((m.context_message_id IS NULL) AND (NOT (EXISTS ( SELECT
                           FROM headrace.stg_send_queue n
                          WHERE ((n.user_phone = q.user_phone) AND (n.whatsapp_number_id = q.whatsapp_number_id) AND (ROW(n.at, n.id) > ROW(q.at, q.id)) AND (n.at < m.created_at) AND ((n.status = 'sent'::text) OR (EXISTS ( SELECT
                                   FROM headrace.stg_message_status_logs l
                                  WHERE ((l.whatsapp_message_id = n.whatsapp_message_id) AND ((headrace.status_bits(l.status) & 1) > 0))))))))))
                UNION ALL
                 SELECT q.id,
                    q.campaign_id,
                    m.created_at
                   FROM (headrace.stg_incoming_messages m
                     JOIN headrace.stg_send_queue q ON ((m.context_message_id = q.whatsapp_message_id)))) u
          GROUP BY u.id, u.campaign_id) r ON (((s.id = r.id) AND (s.campaign_id = r.campaign_id))));

-- Name: campaign_template_stats_live; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.campaign_template_stats_live AS
 SELECT campaign_id,
    template_name,
    (sum(messages))::bigint AS total,
    (COALESCE(sum(messages) FILTER (WHERE ((bits & 1) > 0)), (0)::numeric))::bigint AS sent,
    (COALESCE(sum(messages) FILTER (WHERE ((bits & 2) > 0)), (0)::numeric))::bigint AS delivered,
    (COALESCE(sum(messages) FILTER (WHERE ((bits & 4) > 0)), (0)::numeric))::bigint AS read,
    (COALESCE(sum(messages) FILTER (WHERE ((bits & 32) > 0)), (0)::numeric))::bigint AS replied,
    (COALESCE(sum(messages) FILTER (WHERE ((bits & 8) > 0)), (0)::numeric))::bigint AS failed,
    (COALESCE(sum(messages) FILTER (WHERE ((bits & 16) > 0)), (0)::numeric))::bigint AS failed_queue
   FROM ( SELECT o.campaign_id,
            o.template_name,
            o.bits,
            count(*) AS messages
           FROM headrace.message_outcome_live o
          GROUP BY o.campaign_id, o.template_name, o.bits) b
  GROUP BY campaign_id, template_name;

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

COMMENT ON TABLE headrace.change_log_default IS 'Changes of days that have no partition; normally empty. headrace migrate moves what it holds.';

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
    COALESCE(((d.template_stats @> c.templates) AND (jsonb_array_length(d.template_stats) = jsonb_array_length(c.templates)) AND (d.totals @> (to_jsonb(c.*) - 'templates'::text)) AND ((k.state <> ALL (ARRAY['frozen'::text, 'amended'::text])) OR ((d.state = k.state) AND (d.frozen_at IS NOT NULL) AND (d.checksum = md5(((d.template_stats)::text || (d.totals)::text)))))), false) AS agrees
   FROM ((headrace.campaign k
     LEFT JOIN headrace.campaign_computed_stats d ON ((k.campaign_id = d.campaign_id)))
     CROSS JOIN LATERAL ( SELECT COALESCE(sum(s.total), (0)::numeric) AS total,
            COALESCE(sum(s.sent), (0)::numeric) AS sent,
            COALESCE(sum(s.delivered), (0)::numeric) AS delivered,
            COALESCE(sum(s.read), (0)::numeric) AS read,
            COALESCE(sum(s.replied), (0)::numeric) AS replied,
            COALESCE(sum(s.failed), (0)::numeric) AS failed,
            COALESCE(sum(s.failed_queue), (0)::numeric) AS failed_queue,
            COALESCE(jsonb_agg(jsonb_build_object('template_name', s.template_name, 'total', s.total, 'sent', s.sent, 'delivered', s.delivered, 'read', s.read, 'replied', s.replied, 'failed', s.failed, 'failed_queue', s.failed_queue)) FILTER (WHERE (s.campaign_id IS NOT NULL)), '[]'::jsonb) AS templates
           FROM headrace.campaign_template_stats s
          WHERE (s.campaign_id = k.campaign_id)) c);

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
                    s.template_name,
                    NULL::jsonb AS said,
                    headrace.counters_json(s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue) AS counted
                   FROM headrace.campaign_template_stats s
                UNION ALL
                 SELECT d.campaign_id,
                    true AS is_total,
                    NULL::text AS template_name,
                    NULL::jsonb AS said,
                    headrace.counters_json((COALESCE(sum(s.total), (0)::numeric))::bigint, (COALESCE(sum(s.sent), (0)::numeric))::bigint, (COALESCE(sum(s.delivered), (0)::numeric))::bigint, (COALESCE(sum(s.read), (0)::numeric))::bigint, (COALESCE(sum(s.replied), (0)::numeric))::bigint, (COALESCE(sum(s.failed), (0)::numeric))::bigint, (COALESCE(sum(s.failed_queue), (0)::numeric))::bigint) AS counted
                   FROM (headrace.campaign_computed_stats d
                     LEFT JOIN headrace.campaign_template_stats s ON ((d.campaign_id = s.campaign_id)))
                  GROUP BY d.campaign_id) u
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

COMMENT ON TABLE headrace.installation IS 'What the last migrate rendered into the replaceable objects: their fingerprint, source schema, settings.';

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

COMMENT ON TABLE headrace.message_outcome IS 'What each queued message of an unfrozen campaign counts as. bits: 1 sent, 2 delivered, 4 read, 8 failed, 16 failed in the queue, 32 replied; the times: first evidence of each. message_id: send_queue.id as text.';

-- Name: schema_version; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.schema_version (
    version_num character varying(32) NOT NULL
);

-- Name: stg_campaign_contacts; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.stg_campaign_contacts AS
 SELECT campaign_id,
    template_name
   FROM public.campaign_contacts k;

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
    CONSTRAINT stream_shards_positive CHECK (((shards >= 1) AND (shards <= 1024)))
);

-- Name: TABLE stream; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.stream IS 'A consumer of the change log: its sources and the SQL function (change_log[]) -> bigint that applies a batch. ordered: behind a dead letter, later changes of the same entity wait. rebuild_step() -> integer and rebuilds_pending() -> bigint: what the stream derives and is queued to be recomputed; rebuild_all(): queues it all.';

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
    CONSTRAINT stream_cursor_state_known CHECK ((state = ANY (ARRAY['active'::text, 'lost'::text]))),
    CONSTRAINT stream_cursor_window_whole CHECK (((cur IS NULL) = (last_pos IS NULL)))
)
WITH (fillfactor='50');

-- Name: TABLE stream_cursor; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.stream_cursor IS 'Where a shard of a stream stands: everything visible in prev is applied; while cur is set, the window of what cur sees and prev did not is being applied, up to pos.';

-- Name: stream_lag; Type: VIEW; Schema: headrace; Owner: -

CREATE VIEW headrace.stream_lag AS
 SELECT k.stream,
    k.shard,
        CASE
            WHEN ((k.system_identifier <> ( SELECT pg_control_system.system_identifier
               FROM pg_control_system() pg_control_system(pg_control_version, catalog_version_no, system_identifier, pg_control_last_modified))) OR (k.database_name <> current_database()) OR (pg_snapshot_xmax(k.prev) > pg_snapshot_xmax(pg_current_snapshot()))) THEN 'mismatch'::text
            ELSE k.state
        END AS state,
    p.rows_behind,
    (COALESCE(EXTRACT(epoch FROM (clock_timestamp() - p.oldest_change)), (0)::numeric))::double precision AS seconds_behind,
    w.pid AS oldest_writer_pid,
    w.seconds AS oldest_writer_seconds,
    k.changes_applied,
    k.advanced_at
   FROM (((headrace.stream_cursor k
     JOIN headrace.stream s ON ((k.stream = s.stream)))
     CROSS JOIN LATERAL ( SELECT count(*) AS rows_behind,
            min(u.changed_at) AS oldest_change
           FROM ( SELECT l.pos,
                    l.xid,
                    l.source,
                    l.entity_id,
                    l.changed_at
                   FROM headrace.change_log l
                  WHERE (l.xid = ANY (ARRAY( SELECT x.x
                           FROM pg_snapshot_xip(k.prev) x(x))))
                UNION ALL
                 SELECT l.pos,
                    l.xid,
                    l.source,
                    l.entity_id,
                    l.changed_at
                   FROM headrace.change_log l
                  WHERE (l.xid >= pg_snapshot_xmax(k.prev))
         OFFSET 0) u
          WHERE ((u.source = ANY (s.sources)) AND ((k.cur IS NULL) OR (u.pos > k.pos) OR (NOT pg_visible_in_snapshot(u.xid, k.cur))) AND ((s.shards = 1) OR (mod((hashtextextended(COALESCE(u.entity_id, ''::text), (0)::bigint) & '9223372036854775807'::bigint), (s.shards)::bigint) = k.shard)))) p)
     LEFT JOIN LATERAL headrace.oldest_writer() w(pid, role_name, application_name, seconds) ON (true));

-- Name: webhook_reject; Type: TABLE; Schema: headrace; Owner: -

CREATE TABLE headrace.webhook_reject (
    id bigint NOT NULL,
    path text NOT NULL,
    reason text NOT NULL,
    item jsonb NOT NULL,
    whatsapp_number_id text,
    times bigint DEFAULT 1 NOT NULL,
    first_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

-- Name: TABLE webhook_reject; Type: COMMENT; Schema: headrace; Owner: -

COMMENT ON TABLE headrace.webhook_reject IS 'A part of a webhook that ingest_whatsapp_webhook did not take, with the reason and where in the body it stood; once however often it is delivered (times). Kept until an operator deletes it.';

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

-- Name: stream_cursor stream_cursor_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.stream_cursor
    ADD CONSTRAINT stream_cursor_pkey PRIMARY KEY (stream, shard);

-- Name: stream stream_pkey; Type: CONSTRAINT; Schema: headrace; Owner: -

ALTER TABLE ONLY headrace.stream
    ADD CONSTRAINT stream_pkey PRIMARY KEY (stream);

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

-- Name: campaign_rebuild_queue; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX campaign_rebuild_queue ON headrace.campaign USING btree (rebuild_requested_at) WHERE (rebuild_requested_at IS NOT NULL);

-- Name: campaign_settling; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX campaign_settling ON headrace.campaign USING btree (settles_until) WHERE (settles_until IS NOT NULL);

-- Name: campaign_stats_amendment_campaign; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX campaign_stats_amendment_campaign ON headrace.campaign_stats_amendment USING btree (campaign_id, version);

-- Name: campaign_template_stats_key; Type: INDEX; Schema: headrace; Owner: -

CREATE UNIQUE INDEX campaign_template_stats_key ON headrace.campaign_template_stats USING btree (campaign_id, md5(template_name)) NULLS NOT DISTINCT;

-- Name: change_log_pos; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX change_log_pos ON ONLY headrace.change_log USING btree (pos);

-- Name: change_log_default_pos_idx; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX change_log_default_pos_idx ON headrace.change_log_default USING btree (pos);

-- Name: change_log_xid; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX change_log_xid ON ONLY headrace.change_log USING btree (xid);

-- Name: change_log_default_xid_idx; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX change_log_default_xid_idx ON headrace.change_log_default USING btree (xid);

-- Name: dead_letter_entity; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX dead_letter_entity ON headrace.dead_letter USING btree (stream, entity_id, pos);

-- Name: message_outcome_campaign; Type: INDEX; Schema: headrace; Owner: -

CREATE INDEX message_outcome_campaign ON headrace.message_outcome USING btree (campaign_id);

-- Name: webhook_reject_once; Type: INDEX; Schema: headrace; Owner: -

CREATE UNIQUE INDEX webhook_reject_once ON headrace.webhook_reject USING btree (md5((item)::text), reason, path);

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

-- Name: FUNCTION add_change_log_partition(p_day date); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.add_change_log_partition(p_day date) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.add_change_log_partition(p_day date) TO headrace_worker;

-- Name: FUNCTION amend_campaign(p_campaign_id uuid, p_status text, p_accept_fewer_rows boolean, p_reopen boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.amend_campaign(p_campaign_id uuid, p_status text, p_accept_fewer_rows boolean, p_reopen boolean) FROM PUBLIC;

-- Name: FUNCTION amend_campaigns(p_campaigns uuid[], p_accept boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.amend_campaigns(p_campaigns uuid[], p_accept boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.amend_campaigns(p_campaigns uuid[], p_accept boolean) TO headrace_worker;

-- Name: FUNCTION apply_outcomes(p_changes headrace.outcome_change[], p_recounted uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.apply_outcomes(p_changes headrace.outcome_change[], p_recounted uuid) FROM PUBLIC;

-- Name: FUNCTION apply_times(p_changes headrace.outcome_change[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.apply_times(p_changes headrace.outcome_change[]) FROM PUBLIC;

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

-- Name: FUNCTION campaign_stats_apply(p_changes headrace.change_log[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.campaign_stats_apply(p_changes headrace.change_log[]) FROM PUBLIC;

-- Name: FUNCTION capture_campaigns_delete(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_campaigns_delete() FROM PUBLIC;

-- Name: FUNCTION capture_campaigns_insert(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_campaigns_insert() FROM PUBLIC;

-- Name: FUNCTION capture_campaigns_truncate(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_campaigns_truncate() FROM PUBLIC;

-- Name: FUNCTION capture_campaigns_update(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_campaigns_update() FROM PUBLIC;

-- Name: FUNCTION capture_campaigns_watched(o public.campaigns, n public.campaigns); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_campaigns_watched(o public.campaigns, n public.campaigns) FROM PUBLIC;

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

-- Name: FUNCTION capture_message_status_logs_watched(o public.message_status_logs, n public.message_status_logs); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_message_status_logs_watched(o public.message_status_logs, n public.message_status_logs) FROM PUBLIC;

-- Name: FUNCTION capture_messages_delete(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_messages_delete() FROM PUBLIC;

-- Name: FUNCTION capture_messages_insert(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_messages_insert() FROM PUBLIC;

-- Name: FUNCTION capture_messages_truncate(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_messages_truncate() FROM PUBLIC;

-- Name: FUNCTION capture_messages_update(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_messages_update() FROM PUBLIC;

-- Name: FUNCTION capture_messages_watched(o public.messages, n public.messages); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_messages_watched(o public.messages, n public.messages) FROM PUBLIC;

-- Name: FUNCTION capture_send_queue_delete(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_send_queue_delete() FROM PUBLIC;

-- Name: FUNCTION capture_send_queue_insert(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_send_queue_insert() FROM PUBLIC;

-- Name: FUNCTION capture_send_queue_truncate(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_send_queue_truncate() FROM PUBLIC;

-- Name: FUNCTION capture_send_queue_update(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_send_queue_update() FROM PUBLIC;

-- Name: FUNCTION capture_send_queue_watched(o public.send_queue, n public.send_queue); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_send_queue_watched(o public.send_queue, n public.send_queue) FROM PUBLIC;

-- Name: FUNCTION capture_table(p_table regclass, p_source text, p_entity name, p_scope name, p_keys name[], p_watch name[], p_only_column name, p_only_value text, p_left name[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.capture_table(p_table regclass, p_source text, p_entity name, p_scope name, p_keys name[], p_watch name[], p_only_column name, p_only_value text, p_left name[]) FROM PUBLIC;

-- Name: FUNCTION check_frozen_rows(p_campaign_id uuid, p_before jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.check_frozen_rows(p_campaign_id uuid, p_before jsonb) FROM PUBLIC;

-- Name: FUNCTION counters_json(p_total bigint, p_sent bigint, p_delivered bigint, p_read bigint, p_replied bigint, p_failed bigint, p_failed_queue bigint); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.counters_json(p_total bigint, p_sent bigint, p_delivered bigint, p_read bigint, p_replied bigint, p_failed bigint, p_failed_queue bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.counters_json(p_total bigint, p_sent bigint, p_delivered bigint, p_read bigint, p_replied bigint, p_failed bigint, p_failed_queue bigint) TO headrace_worker;

-- Name: FUNCTION dead_letter_discard(p_ids bigint[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.dead_letter_discard(p_ids bigint[]) FROM PUBLIC;

-- Name: FUNCTION dead_letter_next_try(p_attempts integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.dead_letter_next_try(p_attempts integer) FROM PUBLIC;

-- Name: FUNCTION dead_letter_retry(p_ids bigint[], p_due boolean, OUT applied integer, OUT failed integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.dead_letter_retry(p_ids bigint[], p_due boolean, OUT applied integer, OUT failed integer) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.dead_letter_retry(p_ids bigint[], p_due boolean, OUT applied integer, OUT failed integer) TO headrace_worker;

-- Name: TABLE campaign_computed_stats; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_computed_stats TO headrace_reader;
GRANT SELECT ON TABLE headrace.campaign_computed_stats TO headrace_app;
GRANT SELECT ON TABLE headrace.campaign_computed_stats TO headrace_worker;

-- Name: FUNCTION document_json(p_facts jsonb, p_document headrace.campaign_computed_stats); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.document_json(p_facts jsonb, p_document headrace.campaign_computed_stats) FROM PUBLIC;

-- Name: FUNCTION drop_change_log_partition(p_day date, p_lost_after interval); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.drop_change_log_partition(p_day date, p_lost_after interval) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.drop_change_log_partition(p_day date, p_lost_after interval) TO headrace_worker;

-- Name: FUNCTION expired_change_log_days(p_retention interval); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.expired_change_log_days(p_retention interval) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.expired_change_log_days(p_retention interval) TO headrace_worker;

-- Name: FUNCTION fold_messages(p_messages text[], p_campaigns uuid[], p_late text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.fold_messages(p_messages text[], p_campaigns uuid[], p_late text[]) FROM PUBLIC;

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

-- Name: FUNCTION ingest_whatsapp_webhook(p_body jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) TO headrace_app;
GRANT ALL ON FUNCTION headrace.ingest_whatsapp_webhook(p_body jsonb) TO headrace_worker;

-- Name: FUNCTION is_data_error(p_code text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.is_data_error(p_code text) FROM PUBLIC;

-- Name: FUNCTION latency_block(p_seconds integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.latency_block(p_seconds integer) FROM PUBLIC;

-- Name: FUNCTION latency_median(p_campaign_id uuid, p_kind "char"); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.latency_median(p_campaign_id uuid, p_kind "char") FROM PUBLIC;

-- Name: FUNCTION latency_seconds(p_from timestamp with time zone, p_to timestamp with time zone); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.latency_seconds(p_from timestamp with time zone, p_to timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.latency_seconds(p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.latency_seconds(p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_app;
GRANT ALL ON FUNCTION headrace.latency_seconds(p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_worker;

-- Name: FUNCTION lifecycle_state(p_state text, p_status text, p_frozen_status text, p_settles_until timestamp with time zone, p_now timestamp with time zone); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.lifecycle_state(p_state text, p_status text, p_frozen_status text, p_settles_until timestamp with time zone, p_now timestamp with time zone) FROM PUBLIC;

-- Name: FUNCTION list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer) TO headrace_app;
GRANT ALL ON FUNCTION headrace.list_campaign_stats(p_user_id uuid, p_cursor text, p_limit integer) TO headrace_worker;

-- Name: FUNCTION live_stats(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.live_stats(p_campaign_id uuid) FROM PUBLIC;

-- Name: FUNCTION lock_campaigns(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.lock_campaigns(p_campaigns uuid[]) FROM PUBLIC;

-- Name: FUNCTION merge_counts(INOUT vals integer[], INOUT counts integer[], p_more_values integer[], p_more_counts integer[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.merge_counts(INOUT vals integer[], INOUT counts integer[], p_more_values integer[], p_more_counts integer[]) FROM PUBLIC;

-- Name: FUNCTION message_bits(p_queue_status text, p_evidence integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.message_bits(p_queue_status text, p_evidence integer) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.message_bits(p_queue_status text, p_evidence integer) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.message_bits(p_queue_status text, p_evidence integer) TO headrace_app;
GRANT ALL ON FUNCTION headrace.message_bits(p_queue_status text, p_evidence integer) TO headrace_worker;

-- Name: FUNCTION missing_change_log_days(p_ahead integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.missing_change_log_days(p_ahead integer) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.missing_change_log_days(p_ahead integer) TO headrace_worker;

-- Name: FUNCTION missing_source_rows(p_then jsonb, p_now jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.missing_source_rows(p_then jsonb, p_now jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.missing_source_rows(p_then jsonb, p_now jsonb) TO headrace_worker;

-- Name: FUNCTION oldest_writer(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.oldest_writer() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.oldest_writer() TO headrace_reader;
GRANT ALL ON FUNCTION headrace.oldest_writer() TO headrace_worker;

-- Name: FUNCTION orphaned_statuses(p_older_than interval, p_examples integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.orphaned_statuses(p_older_than interval, p_examples integer) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.orphaned_statuses(p_older_than interval, p_examples integer) TO headrace_worker;

-- Name: FUNCTION pack_hours(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.pack_hours(p_campaign_id uuid) FROM PUBLIC;

-- Name: FUNCTION rebase_stream(p_stream text, p_shards integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebase_stream(p_stream text, p_shards integer) FROM PUBLIC;

-- Name: FUNCTION rebuild_campaign_stats(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_campaign_stats(p_campaigns uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.rebuild_campaign_stats(p_campaigns uuid[]) TO headrace_worker;

-- Name: FUNCTION rebuild_due(p_not_before timestamp with time zone, p_error text, p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_due(p_not_before timestamp with time zone, p_error text, p_patient boolean) FROM PUBLIC;

-- Name: FUNCTION rebuild_step(p_messages bigint, p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuild_step(p_messages bigint, p_patient boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.rebuild_step(p_messages bigint, p_patient boolean) TO headrace_worker;

-- Name: FUNCTION rebuilds_pending(p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.rebuilds_pending(p_patient boolean) FROM PUBLIC;

-- Name: FUNCTION record_activity(p_assets text[], p_days date[], p_rows bigint[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.record_activity(p_assets text[], p_days date[], p_rows bigint[]) FROM PUBLIC;

-- Name: FUNCTION refresh_documents(p_campaigns uuid[], p_frozen boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.refresh_documents(p_campaigns uuid[], p_frozen boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.refresh_documents(p_campaigns uuid[], p_frozen boolean) TO headrace_worker;

-- Name: FUNCTION register_stream(p_stream text, p_sources text[], p_handler text, p_shards integer, p_ordered boolean, p_rebuild_step text, p_rebuilds_pending text, p_rebuild_all text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.register_stream(p_stream text, p_sources text[], p_handler text, p_shards integer, p_ordered boolean, p_rebuild_step text, p_rebuilds_pending text, p_rebuild_all text) FROM PUBLIC;

-- Name: FUNCTION reopen_campaigns(p_campaigns uuid[], p_accept_fewer_rows boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.reopen_campaigns(p_campaigns uuid[], p_accept_fewer_rows boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.reopen_campaigns(p_campaigns uuid[], p_accept_fewer_rows boolean) TO headrace_worker;

-- Name: FUNCTION reply_window(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.reply_window() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.reply_window() TO headrace_reader;
GRANT ALL ON FUNCTION headrace.reply_window() TO headrace_app;
GRANT ALL ON FUNCTION headrace.reply_window() TO headrace_worker;

-- Name: FUNCTION request_amendments(p_campaigns uuid[], p_messages text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.request_amendments(p_campaigns uuid[], p_messages text[]) FROM PUBLIC;

-- Name: FUNCTION request_rebuild(p_campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.request_rebuild(p_campaigns uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.request_rebuild(p_campaigns uuid[]) TO headrace_worker;

-- Name: FUNCTION settle_campaigns(p_campaigns uuid[], p_noticed boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.settle_campaigns(p_campaigns uuid[], p_noticed boolean) FROM PUBLIC;

-- Name: FUNCTION settle_window(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.settle_window() FROM PUBLIC;

-- Name: FUNCTION source_row_counts(p_campaign_id uuid, p_like jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_row_counts(p_campaign_id uuid, p_like jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.source_row_counts(p_campaign_id uuid, p_like jsonb) TO headrace_worker;

-- Name: FUNCTION source_values(p_table text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.source_values(p_table text) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.source_values(p_table text) TO headrace_worker;

-- Name: FUNCTION stats_differences(p_old_templates jsonb, p_old_totals jsonb, p_new_templates jsonb, p_new_totals jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stats_differences(p_old_templates jsonb, p_old_totals jsonb, p_new_templates jsonb, p_new_totals jsonb) FROM PUBLIC;

-- Name: FUNCTION status_bits(p_status text); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.status_bits(p_status text) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.status_bits(p_status text) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.status_bits(p_status text) TO headrace_app;
GRANT ALL ON FUNCTION headrace.status_bits(p_status text) TO headrace_worker;

-- Name: FUNCTION store_counts(p_campaign_id uuid, p_live boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.store_counts(p_campaign_id uuid, p_live boolean) FROM PUBLIC;

-- Name: FUNCTION store_webhook_items(p_items jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.store_webhook_items(p_items jsonb) FROM PUBLIC;

-- Name: FUNCTION stray_changes(); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stray_changes() FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stray_changes() TO headrace_worker;

-- Name: FUNCTION stream_poll(p_streams text[], p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_poll(p_streams text[], p_patient boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_poll(p_streams text[], p_patient boolean) TO headrace_worker;

-- Name: FUNCTION stream_read(p_stream text, p_shard integer, p_limit integer); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_read(p_stream text, p_shard integer, p_limit integer) FROM PUBLIC;

-- Name: FUNCTION stream_rebuild(p_stream text, p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_rebuild(p_stream text, p_patient boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_rebuild(p_stream text, p_patient boolean) TO headrace_worker;

-- Name: FUNCTION stream_rebuilds(p_streams text[], p_patient boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_rebuilds(p_streams text[], p_patient boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_rebuilds(p_streams text[], p_patient boolean) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.stream_rebuilds(p_streams text[], p_patient boolean) TO headrace_worker;

-- Name: FUNCTION stream_step(p_stream text, p_shard integer, p_limit integer, p_isolate boolean, OUT status text, OUT changes integer, OUT dead_letters integer, OUT more boolean); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.stream_step(p_stream text, p_shard integer, p_limit integer, p_isolate boolean, OUT status text, OUT changes integer, OUT dead_letters integer, OUT more boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.stream_step(p_stream text, p_shard integer, p_limit integer, p_isolate boolean, OUT status text, OUT changes integer, OUT dead_letters integer, OUT more boolean) TO headrace_worker;

-- Name: FUNCTION template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION headrace.template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_reader;
GRANT ALL ON FUNCTION headrace.template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_app;
GRANT ALL ON FUNCTION headrace.template_stats(p_template_name text, p_from timestamp with time zone, p_to timestamp with time zone) TO headrace_worker;

-- Name: FUNCTION touch_day(p_campaign_id uuid, p_assets text[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.touch_day(p_campaign_id uuid, p_assets text[]) FROM PUBLIC;

-- Name: FUNCTION touched_messages(p_changes headrace.change_log[], OUT messages text[], OUT campaigns uuid[]); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.touched_messages(p_changes headrace.change_log[], OUT messages text[], OUT campaigns uuid[]) FROM PUBLIC;

-- Name: FUNCTION unpack_hours(p_campaign_id uuid); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.unpack_hours(p_campaign_id uuid) FROM PUBLIC;

-- Name: FUNCTION webhook_items(p_body jsonb); Type: ACL; Schema: headrace; Owner: -

REVOKE ALL ON FUNCTION headrace.webhook_items(p_body jsonb) FROM PUBLIC;

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

-- Name: TABLE campaign_stats_amendment; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_stats_amendment TO headrace_reader;
GRANT SELECT ON TABLE headrace.campaign_stats_amendment TO headrace_app;
GRANT SELECT ON TABLE headrace.campaign_stats_amendment TO headrace_worker;

-- Name: TABLE campaign_stats_pending_amendment; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_stats_pending_amendment TO headrace_worker;

-- Name: TABLE campaign_template_stats; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.campaign_template_stats TO headrace_reader;
GRANT SELECT ON TABLE headrace.campaign_template_stats TO headrace_app;
GRANT SELECT ON TABLE headrace.campaign_template_stats TO headrace_worker;

-- Name: TABLE stg_campaigns; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.stg_campaigns TO headrace_worker;

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

-- Name: TABLE stream; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.stream TO headrace_reader;
GRANT SELECT ON TABLE headrace.stream TO headrace_worker;

-- Name: TABLE stream_cursor; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.stream_cursor TO headrace_worker;

-- Name: TABLE stream_lag; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.stream_lag TO headrace_reader;
GRANT SELECT ON TABLE headrace.stream_lag TO headrace_worker;

-- Name: TABLE webhook_reject; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.webhook_reject TO headrace_worker;

-- Name: TABLE worker; Type: ACL; Schema: headrace; Owner: -

GRANT SELECT ON TABLE headrace.worker TO headrace_reader;
GRANT SELECT ON TABLE headrace.worker TO headrace_worker;

-- PostgreSQL database dump complete
