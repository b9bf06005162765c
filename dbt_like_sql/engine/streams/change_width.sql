-- purpose: roughly how many bytes a change takes in memory, estimated without reading TOASTed values
-- grain:   one change, by its columns; text by its length, JSON by its stored size, times eight if it is compressed
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- No SET clause, so that the planner inlines it.
CREATE OR REPLACE FUNCTION headrace.change_width(p_entity_id text, p_scope text, p_data jsonb, p_cause text) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT 100::bigint + coalesce(pg_catalog.octet_length(p_entity_id), 0) + coalesce(pg_catalog.octet_length(p_scope), 0)
        + coalesce(pg_catalog.pg_column_size(p_data), 0) * CASE WHEN pg_catalog.pg_column_compression(p_data) IS NULL THEN 1 ELSE 8 END
        + coalesce(pg_catalog.octet_length(p_cause), 0)
$$;
