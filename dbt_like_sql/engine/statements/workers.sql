-- purpose: how many workers run and said so within the last `silent` seconds
-- grain:   one number; of those that serve a stream, where one is named
-- reads:   headrace.worker
-- writes:  nothing
-- locks:   none
SELECT count(*) FROM headrace.worker AS w
WHERE
    w.state = 'running' AND w.seen_at > clock_timestamp() - make_interval(secs => :silent)
    AND (:stream::text IS NULL OR w.streams && ARRAY['*', :stream::text])
