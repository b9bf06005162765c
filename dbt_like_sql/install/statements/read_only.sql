-- purpose: why Headrace cannot write to the database it connects to
-- grain:   one row
-- reads:   pg_settings
-- writes:  nothing
-- locks:   none
SELECT
    pg_is_in_recovery() AS recovering,
    current_setting('transaction_read_only')::boolean AS read_only,
    s.source,
    quote_ident(current_database()) AS database,
    quote_ident(current_user) AS role
FROM pg_settings AS s
WHERE s.name = 'default_transaction_read_only'
