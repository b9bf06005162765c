-- purpose: how many documents there are, and how many templates they list
-- grain:   one row
-- reads:   headrace.campaign_computed_stats
-- writes:  nothing
-- locks:   none
SELECT
    count(*) AS documents,
    coalesce(sum(jsonb_array_length(d.template_stats)) FILTER (WHERE jsonb_typeof(d.template_stats) = 'array'), 0)::bigint AS templates
FROM headrace.campaign_computed_stats AS d
