-- purpose: tells errors caused by the data, which every retry repeats, from temporary ones, after which the whole batch is retried
-- grain:   one SQLSTATE and its message; classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- Running out of memory counts as too much data: fewer changes at once may fit, and one that does not fit alone is set aside and
-- retried after a minute.
CREATE OR REPLACE FUNCTION headrace.is_data_error(p_code text, p_message text DEFAULT NULL) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- 22 data exception, 23 integrity, 54 program limit, P0 raised by a trigger or function, 21 cardinality, 2F/38/39 routines, 44 WITH CHECK
    SELECT
        left(p_code, 2) IN ('21', '22', '23', '2F', '38', '39', '44', '54', 'P0') AND p_code <> 'P0002'
        OR p_code = '53200'
        OR p_code = 'XX000' AND coalesce(starts_with(p_message, 'invalid memory alloc request size'), false)
$$;
