-- purpose: campaigns that could not be rebuilt: number of tries, time of the next try, and the error
-- grain:   one row per campaign, the most tries first, at most `most`
-- reads:   headrace.campaign
-- writes:  nothing
-- locks:   none
SELECT
    k.campaign_id::text AS campaign,
    k.rebuild_failures,
    k.rebuild_not_before,
    k.rebuild_error
FROM headrace.campaign AS k
WHERE k.rebuild_error IS NOT NULL
ORDER BY k.rebuild_failures DESC, k.campaign_id ASC
LIMIT :most
