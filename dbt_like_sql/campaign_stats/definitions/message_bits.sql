-- purpose: what a message counts as, replies apart: 1 sent, 2 delivered, 4 read, 8 failed, 16 failed in the queue
-- grain:   one message: its queue status and the combined bits of its provider statuses (null: there are none)
-- reads:   nothing (inlined by the planner; names are resolved at creation, so search_path does not matter)
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.message_bits(p_queue_status text, p_evidence integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_evidence & 2 > 0 THEN p_evidence & 7
    ELSE coalesce(p_evidence, 0) & 9
        | CASE p_queue_status WHEN 'sent' THEN 1 WHEN 'failed' THEN 24 ELSE 0 END
END;
