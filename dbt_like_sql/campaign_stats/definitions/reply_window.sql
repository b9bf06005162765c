-- purpose: how long after a message an answer still counts as a reply to it (HEADRACE_REPLY_WINDOW), in seconds
-- grain:   one number
-- reads:   nothing (a constant, rendered by migrate; inlined by the planner)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.reply_window() RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN {{ seconds('reply_window') }}::numeric;
