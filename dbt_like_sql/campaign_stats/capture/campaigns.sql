-- purpose: captures changes of campaigns: they come, go, change their id, status or dates
-- grain:   triggers "!headrace_insert", "!headrace_update", "!headrace_delete", "!headrace_truncate" on the table
-- reads:   nothing
-- writes:  the triggers and their functions headrace.capture_campaigns_*
-- locks:   SHARE ROW EXCLUSIVE on the table, only where a trigger is missing or differs
SELECT headrace.capture_table(
    {{ regclass('campaigns') }}, 'campaigns', 'id', NULL, '{}',
    '{{ '{' }}id,status,created_at{{ optional('campaigns', 'completed_at', ',completed_at', '') }}{{ '}' }}',
    p_reads => '{name{{ optional('campaigns', 'user_id', ',user_id', '') }}}'
);
