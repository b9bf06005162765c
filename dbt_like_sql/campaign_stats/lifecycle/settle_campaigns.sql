-- purpose: takes over campaigns' completion from the source: completed since when, settling until when; announces each completion once
-- grain:   the campaigns named; it only moves states between live and settling, all other transitions belong to the rebuild
-- reads:   stg_campaigns, headrace.campaign
-- writes:  headrace.campaign, campaign_completion (rows older than 30 days are deleted), and what enter_state writes
-- locks:   the campaigns' own rows: the caller holds them
--
-- p_noticed: the stream brought a change of the campaign. A rebuild that finds a campaign completed announces it only if it had been
-- counted as uncompleted before: campaigns completed before Headrace was installed are no news.
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
