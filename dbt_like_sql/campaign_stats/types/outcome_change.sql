-- purpose: how a message's outcome changes: what it counted as (old, null: nothing) and what it counts as now (new)
-- grain:   one message
-- reads:   nothing
-- writes:  nothing
-- locks:   none
DO $$
BEGIN
    IF to_regtype('headrace.outcome_change') IS NULL THEN
        CREATE TYPE headrace.outcome_change AS (
            message_id text,
            old_campaign uuid, old_template text, old_bits smallint,
            new_campaign uuid, new_template text, new_bits smallint
        );
    END IF;
END
$$;
