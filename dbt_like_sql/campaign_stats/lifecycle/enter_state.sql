-- purpose: moves campaigns to a state, with all that this entails; the only function that writes a campaign's state
-- grain:   the campaigns named, with a state for each (docs/lifecycle.md)
-- reads:   headrace.campaign, campaign_computed_stats
-- writes:  headrace.campaign: state, reopened_at, settles_until, last_version, a frozen one's status and row counts; campaign_computed_stats
-- locks:   the documents' rows; the caller holds the campaigns' own rows
--
-- Callers choose the state (lifecycle_state) and set completed_at before they call. p_status, p_facts, p_source_rows are for a single
-- campaign that is frozen or amended; null keeps the stored value. p_by_hand: an operator reopens it, and its settle window restarts.
-- Rows that would not change are not written. The plan is kept, because planning takes longer than one campaign.
CREATE OR REPLACE FUNCTION headrace.enter_state(
    p_campaigns uuid[], p_states text[],
    p_status text DEFAULT NULL, p_facts jsonb DEFAULT NULL, p_source_rows jsonb DEFAULT NULL, p_by_hand boolean DEFAULT false
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
SET plan_cache_mode = force_generic_plan
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
