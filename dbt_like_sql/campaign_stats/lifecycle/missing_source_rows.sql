-- purpose: how many source rows a frozen campaign has lost, from two results of source_row_counts: when it was frozen, and now
-- grain:   an object {table: missing rows}; empty if none are missing
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
