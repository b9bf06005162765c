-- purpose: how a message's outcome changes: what it counted as (old_*; null: not counted) and what it counts as now (new_*)
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
            old_sent_at timestamptz, old_delivered_at timestamptz, old_read_at timestamptz, old_replied_at timestamptz,
            new_campaign uuid, new_template text, new_bits smallint,
            new_sent_at timestamptz, new_delivered_at timestamptz, new_read_at timestamptz, new_replied_at timestamptz
        );
    END IF;
END
$$;
