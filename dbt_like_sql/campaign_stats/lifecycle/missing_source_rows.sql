-- purpose: which rows the source has lost since a frozen campaign was counted: the result of source_row_counts then, and one like it
-- grain:   an object of tables and how many rows are missing; empty where none is
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.missing_source_rows(p_then jsonb, p_now jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(t.name, (p_then ->> t.name)::bigint - (p_now ->> t.name)::bigint), '{}')
    FROM (VALUES ('send_queue'), ('message_status_logs'), ('messages')) t (name)
    WHERE (p_now ->> t.name)::bigint < (p_then ->> t.name)::bigint
$$;
