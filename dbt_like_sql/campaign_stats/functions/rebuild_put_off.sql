-- purpose: records why campaigns could not be rebuilt, and puts them off so that others are not held up
-- grain:   the campaigns named, each of which failed when tried alone; p_seconds: how long the try took
-- reads:   nothing
-- writes:  headrace.campaign
-- locks:   the campaigns' own rows
--
-- A temporary error (a conflict, a lock) is no failure: the campaign is retried after a second, behind the others. After any other
-- error it is retried after 1, 2, 4, 8 minutes and so on, at most a day. Either way it waits at least ten times as long as the try took.
CREATE OR REPLACE FUNCTION headrace.rebuild_put_off(
    p_items text[], p_code text, p_error text, p_seconds double precision DEFAULT 0
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, headrace, pg_temp
AS $$
BEGIN
    IF left(p_code, 2) = '40' OR p_code = '55P03' THEN
        UPDATE headrace.campaign c SET
            rebuild_requested_at = coalesce(c.rebuild_requested_at, clock_timestamp()),
            rebuild_not_before = clock_timestamp() + make_interval(secs => least(greatest(1, 10 * p_seconds), 86400))
        FROM unnest(p_items) u (id) WHERE c.campaign_id = u.id::uuid;
        RETURN;
    END IF;
    UPDATE headrace.campaign c SET
        rebuild_requested_at = coalesce(c.rebuild_requested_at, clock_timestamp()),
        rebuild_failures = c.rebuild_failures + 1, rebuild_error = left(p_code || ' ' || p_error, 1000),
        rebuild_not_before = clock_timestamp() + least(
            greatest(interval '1 minute' * 2 ^ least(c.rebuild_failures, 20), make_interval(secs => least(10 * p_seconds, 86400))), interval '1 day')
    FROM unnest(p_items) u (id) WHERE c.campaign_id = u.id::uuid;
END
$$;
