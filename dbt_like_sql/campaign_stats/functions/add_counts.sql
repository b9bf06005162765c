-- purpose: adds to some places of an array of counts
-- grain:   one array; places count from 0
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.add_counts(p_counts integer[], p_places integer[], p_added integer[]) RETURNS integer[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(c.n + coalesce(a.n, 0) ORDER BY c.place)
    FROM unnest(p_counts) WITH ORDINALITY c (n, place) LEFT JOIN unnest(p_places, p_added) a (place, n) ON a.place = c.place - 1
$$;
