-- purpose: whether an error is temporary, so that the same webhook may succeed later
-- grain:   one SQLSTATE; classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- Every other error is the item's own: each delivery would raise it again, and the provider gives up after some days.
CREATE OR REPLACE FUNCTION headrace.is_passing_error(p_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- 08 connection (of a trigger, to elsewhere), 40 rollback, 53 resources, 57 operator, 58 system; lock not available, object in use, read only
    SELECT left(p_code, 2) IN ('08', '40', '53', '57', '58') OR p_code IN ('55P03', '55006', '25006')
$$;
