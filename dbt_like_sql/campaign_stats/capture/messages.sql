-- purpose: captures incoming messages (outgoing ones count for nothing) by their place in the conversation
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing: migrate has capture_table make triggers of what all domains want of the table
-- locks:   none
SELECT headrace.capture_spec(
    {{ regclass('messages') }}, 'id', NULL,
    '{{ '{' }}user_phone,whatsapp_number_id,created_at{{ optional('messages', 'context_message_id', ',context_message_id', '') }}{{ '}' }}',
    '{{ '{' }}id,user_phone,whatsapp_number_id,created_at,direction{{ optional('messages', 'context_message_id', ',context_message_id', '') }}{{ '}' }}',
    'direction', 'incoming',
    p_others => '{{ '{' }}{{ optional('messages', 'whatsapp_message_id', 'whatsapp_message_id', '') }}{{ '}' }}'
);
