-- purpose: what a provider status is evidence of: 1 sent, 2 delivered, 4 read, 8 failed; 0 for an unknown status
-- grain:   one status; read implies delivered implies sent, because the provider may skip delivered
-- reads:   nothing (inlined by the planner; names are resolved at creation, so search_path does not matter)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.status_bits(p_status text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_status
    WHEN 'sent' THEN 1 WHEN 'delivered' THEN 3 WHEN 'read' THEN 7 WHEN 'played' THEN 7 WHEN 'failed' THEN 8 ELSE 0
END;
