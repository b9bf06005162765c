-- purpose: the number of running workers that reported within the last `silent` seconds
-- grain:   one number; with :stream only workers that serve that stream
-- reads:   headrace.worker
-- writes:  nothing
-- locks:   none
SELECT count(*) FROM headrace.worker AS w
WHERE
    w.state = 'running' AND w.seen_at > clock_timestamp() - make_interval(secs => :silent)
    AND (:stream::text IS NULL OR w.streams && ARRAY['*', :stream::text])
