-- purpose: what to capture of incoming messages (outgoing ones do not count): their place in the conversation
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing; migrate passes all domains' specs of the table to capture_table
-- locks:   none
SELECT headrace.capture_spec(
    {{ regclass('messages') }}, 'id', NULL,
    '{{ '{' }}user_phone,whatsapp_number_id,created_at{{ optional('messages', 'context_message_id', ',context_message_id', '') }}{{ '}' }}',
    '{{ '{' }}id,user_phone,whatsapp_number_id,created_at,direction{{ optional('messages', 'context_message_id', ',context_message_id', '') }}{{ '}' }}',
    'direction', 'incoming',
    p_others => '{{ '{' }}{{ optional('messages', 'whatsapp_message_id', 'whatsapp_message_id', '') }}{{ '}' }}'
);
