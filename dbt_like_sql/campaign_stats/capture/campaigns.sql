-- purpose: what to capture of campaigns: rows that appear, disappear, or change their id, status or dates
-- grain:   one spec
-- reads:   nothing
-- writes:  nothing; migrate passes all domains' specs of the table to capture_table
-- locks:   none
SELECT headrace.capture_spec(
    {{ regclass('campaigns') }}, 'id', NULL, '{}',
    '{{ '{' }}id,status,created_at{{ optional('campaigns', 'completed_at', ',completed_at', '') }}{{ '}' }}',
    p_reads => '{name{{ optional('campaigns', 'user_id', ',user_id', '') }}}'
);
