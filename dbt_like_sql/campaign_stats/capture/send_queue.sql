-- purpose: captures changes of queued messages, with the place in the conversation that each left
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing: migrate has capture_table make triggers of what all domains want of the table
-- locks:   none
SELECT headrace.capture_spec(
    {{ regclass('send_queue') }}, 'id', 'campaign_id',
    '{}',
    '{id,campaign_id,template_name,status,whatsapp_message_id,user_phone,whatsapp_number_id,sent_at,created_at}',
    p_left => '{id,campaign_id,user_phone,whatsapp_number_id,sent_at,created_at}'
);
