-- purpose: how long an order may take (HEADRACE_TOY_GRACE)
-- grain:   one interval
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.toy_grace() RETURNS interval
LANGUAGE sql IMMUTABLE AS $$ SELECT make_interval(secs => {{ seconds('toy_grace') }}) $$;
