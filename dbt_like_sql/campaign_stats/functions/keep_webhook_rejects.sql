-- purpose: keeps refused webhook items; for an item that is already kept, increments its count
-- grain:   items as webhook_items gives them, each with its problem
-- reads:   nothing
-- writes:  headrace.webhook_reject
-- locks:   the rows of rejects that are already there
CREATE OR REPLACE FUNCTION headrace.keep_webhook_rejects(p_items jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    INSERT INTO headrace.webhook_reject AS r (path, reason, item, whatsapp_number_id, sender, notice)
    SELECT DISTINCT ON (k.item_key, k.reason, k.path, k.number_key)
        k.path, k.reason, k.item, k.number_id, k.sender, k.notice
    FROM (
        SELECT
            i ->> 'path' AS path, i ->> 'problem' AS reason, i -> 'item' AS item, i ->> 'whatsapp_number_id' AS number_id,
            i ->> 'user_phone' AS sender, coalesce((i -> 'notice')::boolean, false) AS notice,
            md5((i -> 'item')::text) AS item_key, md5(coalesce(i ->> 'whatsapp_number_id', '')) AS number_key
        FROM jsonb_array_elements(p_items) i
    ) k
    ORDER BY k.item_key, k.reason, k.path, k.number_key
    ON CONFLICT (md5(item::text), md5(reason), path, md5(coalesce(whatsapp_number_id, '')))
    DO UPDATE SET times = r.times + 1, last_at = clock_timestamp();
END
$$;
