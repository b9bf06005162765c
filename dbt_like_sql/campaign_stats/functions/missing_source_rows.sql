-- purpose: which rows the source has lost since a frozen campaign was counted, from two results of source_row_counts
-- grain:   an object of tables and how many rows are missing; empty where none is
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- In a shorter reply window fewer messages can be replies: that is another definition, and no loss.
CREATE OR REPLACE FUNCTION headrace.missing_source_rows(p_then jsonb, p_now jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(t.key, t.value::bigint - (p_now ->> t.key)::bigint), '{}')
    FROM jsonb_each_text(p_then - 'reply_window') t
    WHERE (p_now ->> t.key)::bigint < t.value::bigint
        AND (t.key <> 'messages' OR (p_now ->> 'reply_window')::numeric >= (p_then ->> 'reply_window')::numeric)
$$;
