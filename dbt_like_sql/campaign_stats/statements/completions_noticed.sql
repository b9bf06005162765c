-- purpose: campaigns whose completion is not visible in snapshot `seen` but is in `until`; without `seen`, all of them
-- grain:   one row: how many, how many are gone, how many were created from `first` to `last`, first and last of these days, the first `most` ids
-- reads:   headrace.campaign_completion, campaigns_named
-- writes:  nothing
-- locks:   none
WITH n AS MATERIALIZED (
    SELECT
        x.campaign_id,
        min(x.id) AS id
    FROM headrace.campaign_completion AS x
    WHERE :seen::pg_snapshot IS NULL OR (
        x.xid >= pg_snapshot_xmin(:seen::pg_snapshot)
        AND NOT pg_visible_in_snapshot(x.xid, :seen::pg_snapshot)
        AND pg_visible_in_snapshot(x.xid, :until::pg_snapshot)
    )
    GROUP BY x.campaign_id
)

SELECT
    count(*) AS campaigns,
    count(*) FILTER (WHERE c.campaign_id IS NULL) AS gone,
    count(*) FILTER (WHERE d.inside) AS inside,
    min(c.day) FILTER (WHERE d.inside) AS first_day,
    max(c.day) FILTER (WHERE d.inside) AS last_day,
    coalesce((array_agg(n.campaign_id ORDER BY n.id) FILTER (WHERE c.campaign_id IS NOT NULL))[1:(:most)], '{}') AS named
FROM n
LEFT JOIN headrace.campaigns_named(ARRAY(SELECT o.campaign_id FROM n AS o)) AS c ON n.campaign_id = c.campaign_id
CROSS JOIN LATERAL (SELECT c.day BETWEEN :first::date AND :last::date AS inside) AS d
