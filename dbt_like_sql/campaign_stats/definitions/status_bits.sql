-- purpose: what a provider status is evidence of: 1 sent, 2 delivered, 4 read, 8 failed; 0 for a status we do not know
-- grain:   one status; read implies delivered implies sent, because the provider may skip delivered
-- reads:   nothing (inlined by the planner; bound when it is made, so that no search_path matters)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.status_bits(p_status text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_status
    WHEN 'sent' THEN 1 WHEN 'delivered' THEN 3 WHEN 'read' THEN 7 WHEN 'played' THEN 7 WHEN 'failed' THEN 8 ELSE 0
END;
