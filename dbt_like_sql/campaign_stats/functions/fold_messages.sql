-- purpose: recounts messages from the source rows and adds the differences to the statistics of their campaigns
-- grain:   the send_queue ids named, and a guess of their campaigns; the number of messages that count differently now
-- reads:   stg_send_queue, stg_message_status_logs, stg_incoming_messages, headrace.campaign, headrace.message_outcome
-- writes:  what apply_outcomes writes; what is late for a frozen campaign asks for its amendment
-- locks:   the campaigns' own rows, in id order, before the truth is read
--
-- The protocol that folds and rebuilds share: (a) lock the campaigns that the messages count for or will, (b) only then,
-- in a new statement, read the truth and the stored outcomes, (c) make sure that the locks covered them, (d) apply the
-- differences. Holding a message's campaign is what makes its outcome stable. Where a message turns out to belong to a
-- campaign that is not held, that one is locked too and the truth read again. p_recounted: see apply_outcomes. Empty ids,
-- phones and numbers name nothing.
CREATE OR REPLACE FUNCTION headrace.fold_messages(
    p_messages text[], p_campaigns uuid[], p_late text[] DEFAULT NULL, p_recounted uuid[] DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET random_page_cost = 1.1
SET jit = off
AS $$
DECLARE
    v_campaigns uuid[] := array_remove(coalesce(p_campaigns, '{}'), NULL);
    v_many boolean;
    v_seen uuid[];
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
        FROM (
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
            LEFT JOIN headrace.stg_send_queue() q ON q.id = k.id::{{ type('send_queue', 'id') }}
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
        ) d;
        EXIT WHEN v_seen IS NULL;
        -- As sets where they are many: each of thousands compared with thousands takes minutes.
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
