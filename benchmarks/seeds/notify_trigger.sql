-- purpose: the seed's trigger that notifies of changed fields, to be measured against
-- grain:   one row of send_queue
-- reads:   triggers
-- writes:  one notification for each updated row, changed or not
-- locks:   at commit, as NOTIFY does, the database's notification lock
--
-- Names adapted, nothing else: the seed watches contacts (workspace_id, name, email, stage), we the queue (campaign_id,
-- template_name, status, whatsapp_message_id). Its document has neither table triggers nor CREATE TRIGGER: here they
-- are as the function needs them, with an index and one active trigger per campaign. Nobody listens, which suits it.
CREATE TABLE triggers (workspace_id text, event_type text, is_active boolean);
INSERT INTO triggers SELECT id::text, 'user_field_value_changed', TRUE FROM campaigns;
CREATE INDEX ON triggers (workspace_id);

CREATE OR REPLACE FUNCTION log_contact_field_changes_optimized()
RETURNS TRIGGER AS $$
DECLARE
    has_active_triggers BOOLEAN;
BEGIN
    -- Quick check: Are there any active field change triggers for this workspace?
    SELECT EXISTS(
        SELECT 1 FROM triggers
        WHERE workspace_id = NEW.campaign_id::text
        AND event_type = 'user_field_value_changed'
        AND is_active = TRUE
    ) INTO has_active_triggers;

    -- Only log changes if there are active triggers
    IF has_active_triggers THEN
        -- Use NOTIFY for async processing instead of direct processing
        PERFORM pg_notify(
            'field_change_event',
            json_build_object(
                'contact_id', NEW.id,
                'workspace_id', NEW.campaign_id,
                'changes', json_build_object(
                    'name', CASE WHEN OLD.template_name IS DISTINCT FROM NEW.template_name
                           THEN json_build_object('old', OLD.template_name, 'new', NEW.template_name)
                           ELSE NULL END,
                    'email', CASE WHEN OLD.status IS DISTINCT FROM NEW.status
                            THEN json_build_object('old', OLD.status, 'new', NEW.status)
                            ELSE NULL END,
                    'stage', CASE WHEN OLD.whatsapp_message_id IS DISTINCT FROM NEW.whatsapp_message_id
                            THEN json_build_object('old', OLD.whatsapp_message_id, 'new', NEW.whatsapp_message_id)
                            ELSE NULL END
                )
            )::text
        );
    END IF;

    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER seed_notify AFTER UPDATE ON send_queue
FOR EACH ROW EXECUTE FUNCTION log_contact_field_changes_optimized();
