-- purpose: the state machine of a campaign: which state follows from the one it is in and what the source says (docs/lifecycle.md)
-- grain:   one campaign, at the moment p_now; null p_status: the source has no such campaign
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- pending is left by a rebuild, which asks this function where to. frozen and amended hold whatever time does; they end when
-- the application reopens the campaign: it is not completed, and has another status than when it was frozen.
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
