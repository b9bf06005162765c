-- purpose: captures changes of queued messages, with the place in the conversation that each left
-- grain:   triggers "!headrace_insert", "!headrace_update", "!headrace_delete", "!headrace_truncate" on the table
-- reads:   nothing
-- writes:  the triggers and their functions headrace.capture_send_queue_*
-- locks:   SHARE ROW EXCLUSIVE on the table, only where a trigger is missing or differs
SELECT headrace.capture_table(
    {{ regclass('send_queue') }}, 'send_queue', 'id', 'campaign_id',
    '{}',
    '{id,campaign_id,template_name,status,whatsapp_message_id,user_phone,whatsapp_number_id,sent_at,created_at}',
    p_left => '{id,campaign_id,user_phone,whatsapp_number_id,sent_at,created_at}'
);
