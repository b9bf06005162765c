-- purpose: how many phones are queued
-- grain:   one number
-- reads:   headrace.toy_request
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.toy_pending(p_patient boolean DEFAULT false, p_most bigint DEFAULT NULL) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT count(*) FROM (SELECT FROM headrace.toy_request LIMIT p_most) r $$;
