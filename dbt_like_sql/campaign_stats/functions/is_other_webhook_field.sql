-- purpose: whether a webhook field is another of the provider's fields, which arrive at the same address if they are subscribed to
-- grain:   one value of entry[].changes[].field, as documented in 2026
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.is_other_webhook_field(p_field text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(p_field IN (
    'account_alerts', 'account_offboarded', 'account_reconnected', 'account_review_update', 'account_settings_update', 'account_update',
    'automatic_events', 'business_capability_update', 'business_status_update', 'business_username_update', 'calls', 'flows',
    'group_lifecycle_update', 'group_participants_update', 'group_settings_update', 'group_status_update', 'history', 'message_echoes',
    'message_template_components_update', 'message_template_quality_update', 'message_template_status_update', 'messaging_handovers',
    'partner_solutions', 'payment_configuration_update', 'phone_number_name_update', 'phone_number_quality_update', 'security',
    'smb_app_state_sync', 'smb_message_echoes', 'standby', 'template_category_update', 'template_correct_category_detection',
    'tracking_events', 'user_id_update', 'user_preferences'), false);
