-- purpose: captures incoming messages (outgoing ones count for nothing) by their place in the conversation
-- grain:   triggers "!headrace_insert", "!headrace_update", "!headrace_delete", "!headrace_truncate" on the table
-- reads:   nothing
-- writes:  the triggers and their functions headrace.capture_messages_*
-- locks:   SHARE ROW EXCLUSIVE on the table, only where a trigger is missing or differs
SELECT headrace.capture_table(
    {{ regclass('messages') }}, 'messages', 'id', NULL,
    '{{ '{' }}user_phone,whatsapp_number_id,created_at{{ optional('messages', 'context_message_id', ',context_message_id', '') }}{{ '}' }}',
    '{{ '{' }}id,user_phone,whatsapp_number_id,created_at,direction{{ optional('messages', 'context_message_id', ',context_message_id', '') }}{{ '}' }}',
    'direction', 'incoming',
    p_others => '{{ '{' }}{{ optional('messages', 'whatsapp_message_id', 'whatsapp_message_id', '') }}{{ '}' }}'
);
