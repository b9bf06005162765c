-- purpose: what was refused of a webhook can be taken in again, whatever it is; locks of webhooks that only we can take
-- grain:   see each statement
-- reads:   nothing
-- writes:  headrace.webhook_reject, headrace.webhook_lock
-- locks:   webhook_reject whole, for as long as its index takes

ALTER TABLE headrace.webhook_reject ADD COLUMN sender text, ADD COLUMN notice boolean NOT NULL DEFAULT false;
COMMENT ON TABLE headrace.webhook_reject IS
    'A part of a webhook that ingest_whatsapp_webhook did not take, with the reason and where in the body it stood; '
    'once however often it is delivered (times). notice: of a kind that is known, and nobody needs to look at it. '
    'Kept until it is taken in by retry_webhook_rejects, or an operator discards it.';
-- Of what others chose nothing is indexed but its md5: a key has no room for a long value.
DROP INDEX headrace.webhook_reject_once;
CREATE UNIQUE INDEX webhook_reject_once
ON headrace.webhook_reject (md5(item::text), md5(reason), path, md5(coalesce(whatsapp_number_id, '')));
CREATE INDEX webhook_reject_to_look_at ON headrace.webhook_reject (id) WHERE NOT notice;

CREATE TABLE headrace.webhook_lock (bucket smallint PRIMARY KEY);
COMMENT ON TABLE headrace.webhook_lock IS
    'One row for each 256th of message ids, locked while webhooks with such ids are taken in: two deliveries of one item '
    'wait for each other. Rows, and not advisory locks, which any login may hold.';
INSERT INTO headrace.webhook_lock (bucket) SELECT b FROM pg_catalog.generate_series(0, 255) AS b;
