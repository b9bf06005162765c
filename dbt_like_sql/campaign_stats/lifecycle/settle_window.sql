-- purpose: how long a campaign is still counted after its completion, before it is frozen (HEADRACE_SETTLE_WINDOW)
-- grain:   one interval
-- reads:   nothing (a constant, rendered by migrate)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.settle_window() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN make_interval(secs => {{ seconds('settle_window') }});
