-- purpose: orders as this domain reads them
-- grain:   one row per order
-- reads:   orders
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.stg_orders() RETURNS TABLE (phone text, took interval)
LANGUAGE sql STABLE
AS $$ SELECT o.phone::text, o.delivered_at - o.placed_at FROM {{ source }}.orders o WHERE headrace.source_holds('orders') $$;
