-- purpose: whether a campaign that waits to be rebuilt may be by now
-- grain:   one campaign; one that failed is not before its next try, one that was amended a moment ago is for the impatient only
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.rebuild_due(p_not_before timestamptz, p_error text, p_patient boolean) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT p_not_before IS NULL OR p_not_before <= clock_timestamp() OR NOT p_patient AND p_error IS NULL
$$;
