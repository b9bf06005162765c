-- purpose: where each campaign stands: whether its numbers are final, whether it is due, how many messages it has
-- grain:   one row per campaign that Headrace has; for the application's name, status and day join campaigns_created or campaigns_named
-- reads:   headrace.campaign, campaign_computed_stats, campaign_template_stats, campaign_stats_pending_amendment
-- writes:  nothing
-- locks:   none
--
-- due: to be rebuilt, amended or frozen. put_off: not yet, because of an error or to collect late changes. Joins whose columns a query
-- does not use cost nothing: the planner removes them. Code that picks campaigns by index (rebuild_pick, rebuilds_pending) repeats
-- these conditions in the form that the indexes have.
CREATE OR REPLACE VIEW headrace.campaign_standing AS
SELECT
    k.campaign_id,
    k.state,
    k.state IN ('frozen', 'amended') AS final,
    k.state IN ('live', 'settling', 'frozen', 'amended') AS counted,
    k.rebuild_requested_at IS NOT NULL AS requested,
    k.rebuild_requested_at IS NOT NULL OR coalesce(k.state = 'settling' AND k.settles_until <= statement_timestamp(), false) AS due,
    coalesce(k.rebuild_not_before > statement_timestamp(), false) AS put_off,
    k.document_due_at,
    k.completed_at,
    k.settles_until,
    k.source_rows,
    d.version,
    d.frozen_at,
    d.facts,
    p.campaign_id IS NOT NULL AS amendment_waits,
    p.source_rows_then,
    p.source_rows_now,
    (
        SELECT sum(s.total)::bigint FROM headrace.campaign_template_stats AS s
        WHERE s.campaign_id = k.campaign_id
    ) AS messages
FROM headrace.campaign AS k
LEFT JOIN headrace.campaign_computed_stats AS d ON k.campaign_id = d.campaign_id
LEFT JOIN headrace.campaign_stats_pending_amendment AS p ON k.campaign_id = p.campaign_id
