-- purpose: why a webhook's timestamp is invalid
-- grain:   one value; null: it is valid, in unix seconds
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.webhook_time_problem(p_timestamp jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN coalesce(p_timestamp #>> '{}', '') = '' THEN 'no timestamp'
    WHEN jsonb_typeof(p_timestamp) NOT IN ('string', 'number') OR p_timestamp #>> '{}' !~ '^[0-9]{1,10}$'
        THEN 'timestamp ' || left(p_timestamp::text, 80) || ' is not in unix seconds'
END;
