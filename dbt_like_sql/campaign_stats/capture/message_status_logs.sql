-- purpose: captures the provider's status webhooks by the message they name
-- grain:   triggers "!headrace_insert", "!headrace_update", "!headrace_delete", "!headrace_truncate" on the table
-- reads:   nothing
-- writes:  the triggers and their functions headrace.capture_message_status_logs_*
-- locks:   SHARE ROW EXCLUSIVE on the table, only where a trigger is missing or differs
SELECT headrace.capture_table(
    {{ regclass('message_status_logs') }}, 'message_status_logs', 'id', NULL,
    '{whatsapp_message_id}', '{id,whatsapp_message_id,status,created_at}',
    p_others => array_remove(ARRAY[
        {{ optional('message_status_logs', 'campaign_id', "'campaign_id'", 'NULL') }}, {{ optional('message_status_logs', 'errors', "'errors'", 'NULL') }}
    ]::name[], NULL)
);
