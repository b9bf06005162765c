-- purpose: captures changes of campaigns: they come, go, change their id, status or dates
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing: migrate has capture_table make triggers of what all domains want of the table
-- locks:   none
SELECT headrace.capture_spec(
    {{ regclass('campaigns') }}, 'id', NULL, '{}',
    '{{ '{' }}id,status,created_at{{ optional('campaigns', 'completed_at', ',completed_at', '') }}{{ '}' }}',
    p_reads => '{name{{ optional('campaigns', 'user_id', ',user_id', '') }}}'
);
