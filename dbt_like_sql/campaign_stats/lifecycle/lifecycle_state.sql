-- purpose: the state machine of a campaign: its next state, from the present one and what the source says (docs/lifecycle.md)
-- grain:   one campaign at the moment p_now; null p_status: the source has no such campaign
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- A rebuild moves a campaign out of pending, to the state that this function gives. frozen and amended do not end with time, only
-- when the application reopens the campaign: its status is neither completed nor the one it was frozen with.
CREATE OR REPLACE FUNCTION headrace.lifecycle_state(
    p_state text, p_status text, p_frozen_status text, p_settles_until timestamptz, p_now timestamptz
) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_state IN ('frozen', 'amended') AND (p_status IS NULL OR p_status IN ('completed', p_frozen_status)) THEN p_state
    WHEN p_status IS NULL THEN 'deleted'
    WHEN p_status <> 'completed' THEN 'live'
    WHEN p_settles_until <= p_now THEN 'frozen'
    ELSE 'settling'
END;
