-- purpose: registers stream campaign_stats, which maintains the statistics; one shard, because folds of a campaign exclude each other
-- grain:   one stream
-- reads:   what register_stream reads
-- writes:  what register_stream writes
-- locks:   what register_stream locks
SELECT headrace.register_stream(
    'campaign_stats', '{campaigns,send_queue,message_status_logs,messages}', 'headrace.campaign_stats_apply', 1,
    p_rebuild_step => 'headrace.rebuild_step', p_rebuilds_pending => 'headrace.rebuilds_pending',
    p_rebuild_all => 'headrace.request_rebuild', p_rows_left => 'headrace.request_rebuild_of_unfrozen',
    p_rebuild_pick => 'headrace.rebuild_pick', p_rebuild_items => 'headrace.rebuild_items', p_rebuild_put_off => 'headrace.rebuild_put_off',
    p_domain => '{{ domain }}', p_unit => 'campaigns', p_rebuild_new => 'headrace.queue_new_campaigns',
    p_on_setting => '{"settle_window": "headrace.settle_anew"}'
);
