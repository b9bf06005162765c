-- purpose: takes over campaigns' completion from the source: since when, until when they settle; announces it once
-- grain:   the campaigns named; states change between live and settling only, everything else is the rebuild's
-- reads:   stg_campaigns
-- writes:  headrace.campaign, campaign_completion (what is older than 30 days goes), what enter_state writes
-- locks:   the campaigns' own rows: the caller holds them
--
-- p_noticed: a change of the campaign came by the stream. A rebuild that finds a campaign completed announces it only where
-- it had been counted as uncompleted before: what was completed before Headrace came is no news.
CREATE OR REPLACE FUNCTION headrace.settle_campaigns(p_campaigns uuid[], p_noticed boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
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
            -- What was noticed is not in the future: a later time was the source's own, and was taken back.
            SELECT CASE
                WHEN c.status = 'completed' THEN coalesce(c.completed_at, least(k.completed_at, k.announced_at, clock_timestamp()))
            END AS completed_at
        ) s
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
            announced_at = CASE WHEN f.completed_at IS NULL THEN NULL WHEN f.announced THEN clock_timestamp() ELSE k.announced_at END
        FROM found f
        WHERE k.campaign_id = f.campaign_id AND (f.announced OR k.completed_at IS DISTINCT FROM f.completed_at)
    )
    SELECT
        array_agg(f.campaign_id),
        array_agg(CASE WHEN NOT f.counted THEN f.state WHEN f.completed_at IS NULL THEN 'live' ELSE 'settling' END)
    INTO v_campaigns, v_states FROM found f WHERE f.state NOT IN ('frozen', 'amended');
    -- of every one of them: the settle window may be another
    PERFORM headrace.enter_state(v_campaigns, v_states);
END
$$;
