-- purpose: refuses isolation levels that could store an item twice, because their snapshot is older than the locks
-- grain:   the current transaction
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.refuse_webhook_isolation() RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'ingest_whatsapp_webhook would store repeated deliveries twice in a % transaction',
        upper(current_setting('transaction_isolation') COLLATE "C")
    USING ERRCODE = 'invalid_transaction_state', HINT = 'Call it in a READ COMMITTED transaction, PostgreSQL''s default.';
END
$$;
