-- purpose: what to capture of queued messages: every change, with the place in the conversation that the message left
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing; migrate passes all domains' specs of the table to capture_table
-- locks:   none
SELECT headrace.capture_spec(
    {{ regclass('send_queue') }}, 'id', 'campaign_id',
    '{}',
    '{id,campaign_id,template_name,status,whatsapp_message_id,user_phone,whatsapp_number_id,sent_at,created_at}',
    p_left => '{id,campaign_id,user_phone,whatsapp_number_id,sent_at,created_at}'
);
