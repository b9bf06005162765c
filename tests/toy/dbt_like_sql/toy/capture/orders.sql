-- purpose: captures orders
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing
-- locks:   none
SELECT headrace.capture_spec({{ regclass('orders') }}, 'id', NULL, '{phone}', '{phone,placed_at,delivered_at}');
