-- purpose: captures the provider's status webhooks by the message they name
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing: migrate has capture_table make triggers of what all domains want of the table
-- locks:   none
SELECT headrace.capture_spec(
    {{ regclass('message_status_logs') }}, 'id', NULL,
    '{whatsapp_message_id}', '{id,whatsapp_message_id,status,created_at}',
    p_others => array_remove(ARRAY[
        {{ optional('message_status_logs', 'campaign_id', "'campaign_id'", 'NULL') }}, {{ optional('message_status_logs', 'errors', "'errors'", 'NULL') }}
    ]::name[], NULL)
);
