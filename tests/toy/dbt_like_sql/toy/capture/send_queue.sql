-- purpose: captures queued messages by phone
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing
-- locks:   none
SELECT headrace.capture_spec({{ regclass('send_queue') }}, 'id', NULL, '{user_phone}', '{user_phone,status}');
