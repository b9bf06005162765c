-- purpose: what to capture of the provider's status webhooks: every change, with the message id
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing; migrate passes all domains' specs of the table to capture_table
-- locks:   none
SELECT headrace.capture_spec(
    {{ regclass('message_status_logs') }}, 'id', NULL,
    '{whatsapp_message_id}', '{id,whatsapp_message_id,status,created_at}',
    p_others => array_remove(ARRAY[
        {{ optional('message_status_logs', 'campaign_id', "'campaign_id'", 'NULL') }}, {{ optional('message_status_logs', 'errors', "'errors'", 'NULL') }}
    ]::name[], NULL)
);
