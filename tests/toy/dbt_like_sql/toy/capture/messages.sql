-- purpose: captures messages both ways, of which another domain wants one
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing
-- locks:   none
SELECT headrace.capture_spec({{ regclass('messages') }}, 'id', NULL, '{user_phone}', '{user_phone,direction}');
