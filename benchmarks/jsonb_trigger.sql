-- purpose: a generic audit trigger, as supa_audit and audit-trigger are: whole rows, old and new, as JSONB
-- grain:   one row of send_queue or message_status_logs
-- reads:   nothing
-- writes:  record_version, with the indexes such tables have
-- locks:   none
--
-- Leaner than those tools, which compute the record's id from the table's primary key for every row.
CREATE TABLE record_version (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id text,
    old_record_id text,
    op text NOT NULL CHECK (op IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')),
    ts timestamptz NOT NULL DEFAULT now(),
    table_oid oid NOT NULL,
    table_schema name NOT NULL,
    table_name name NOT NULL,
    record jsonb,
    old_record jsonb
);
CREATE INDEX ON record_version (record_id) WHERE record_id IS NOT NULL;
CREATE INDEX ON record_version (old_record_id) WHERE old_record_id IS NOT NULL;
CREATE INDEX ON record_version (table_oid);
CREATE INDEX ON record_version USING brin (ts);

CREATE FUNCTION insert_update_delete_trigger() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = audit, pg_temp
AS $$
DECLARE
    record_jsonb jsonb = to_jsonb(NEW);
    old_record_jsonb jsonb = to_jsonb(OLD);
BEGIN
    INSERT INTO record_version (record_id, old_record_id, op, table_oid, table_schema, table_name, record, old_record)
    SELECT record_jsonb ->> 'id', old_record_jsonb ->> 'id', TG_OP, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME,
        record_jsonb, old_record_jsonb;
    RETURN coalesce(NEW, OLD);
END
$$;

CREATE TRIGGER audit_i_u_d AFTER INSERT OR UPDATE OR DELETE ON send_queue
FOR EACH ROW EXECUTE FUNCTION insert_update_delete_trigger();
CREATE TRIGGER audit_i_u_d AFTER INSERT OR UPDATE OR DELETE ON message_status_logs
FOR EACH ROW EXECUTE FUNCTION insert_update_delete_trigger();
