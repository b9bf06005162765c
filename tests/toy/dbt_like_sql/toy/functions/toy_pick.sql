-- purpose: the next phones that are queued
-- grain:   names
-- reads:   headrace.toy_request
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.toy_pick(p_patient boolean DEFAULT false) RETURNS text[]
LANGUAGE sql AS $$ SELECT array_agg(r.phone) FROM (SELECT phone FROM headrace.toy_request ORDER BY 1 LIMIT 100 FOR UPDATE SKIP LOCKED) r $$;
