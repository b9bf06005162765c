-- purpose: the table of webhook parts that could not be taken in
-- grain:   see the table's comment
-- reads:   nothing
-- writes:  creates headrace.webhook_reject
-- locks:   none that an application waits for: everything here is new

CREATE TABLE headrace.webhook_reject (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path text NOT NULL,
    reason text NOT NULL,
    item jsonb NOT NULL,
    whatsapp_number_id text,
    times bigint NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE headrace.webhook_reject IS
    'A part of a webhook that ingest_whatsapp_webhook did not take, with the reason and where in the body it stood; '
    'once however often it is delivered (times). Kept until an operator deletes it.';
CREATE UNIQUE INDEX webhook_reject_once ON headrace.webhook_reject (md5(item::text), reason, path);
