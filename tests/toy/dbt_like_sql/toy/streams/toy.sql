-- purpose: registers stream toy
-- grain:   one stream
-- reads:   nothing
-- writes:  headrace.stream, headrace.stream_cursor
-- locks:   none
SELECT headrace.register_stream(
    'toy', '{orders,messages,send_queue}', 'headrace.toy_apply', p_rebuilds_pending => 'headrace.toy_pending', p_rebuild_all => 'headrace.toy_request_all',
    p_rebuild_pick => 'headrace.toy_pick', p_rebuild_items => 'headrace.toy_count', p_domain => '{{ domain }}', p_unit => 'phones',
    p_on_setting => '{"toy_grace": "headrace.toy_request_all"}'
);
