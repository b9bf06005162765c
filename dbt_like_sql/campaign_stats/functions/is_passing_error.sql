-- purpose: tells errors of the moment, after which the same webhook may go in, from those that come again with it
-- grain:   one SQLSTATE; classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- What is not named here is the item's: whoever refuses it, with whatever code, would refuse it again, and the provider
-- gives up after some days.
CREATE OR REPLACE FUNCTION headrace.is_passing_error(p_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- 08 connection (of a trigger, to elsewhere), 40 rollback, 53 resources, 57 operator, 58 system; lock not available, object in use, read only
    SELECT left(p_code, 2) IN ('08', '40', '53', '57', '58') OR p_code IN ('55P03', '55006', '25006')
$$;
