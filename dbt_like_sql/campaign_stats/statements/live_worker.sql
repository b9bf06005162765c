-- purpose: the time, and whether a worker of this stream has been seen in the last :silent seconds
-- grain:   one row
-- reads:   headrace.worker
-- writes:  nothing
-- locks:   none
SELECT
    clock_timestamp() AS now,
    EXISTS(
        SELECT FROM headrace.worker AS w
        WHERE
            w.state = 'running' AND w.seen_at > clock_timestamp() - make_interval(secs => :silent)
            AND w.streams && ARRAY['*', :stream]
    ) AS alive
