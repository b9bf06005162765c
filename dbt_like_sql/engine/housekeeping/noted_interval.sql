-- purpose: a span of time as migrate noted it from its settings
-- grain:   one name of headrace.installation, in seconds; nothing noted is no time at all
-- reads:   headrace.installation
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.noted_interval(p_name text) RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT coalesce((SELECT make_interval(secs => i.value::double precision) FROM headrace.installation i WHERE i.name = p_name), interval '0')
$$;
