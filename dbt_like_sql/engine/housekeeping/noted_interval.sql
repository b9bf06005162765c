-- purpose: a time span from the settings, as migrate noted it
-- grain:   one name of headrace.installation, in seconds; zero if nothing is noted
-- reads:   headrace.installation
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.noted_interval(p_name text) RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT coalesce((SELECT make_interval(secs => i.value::double precision) FROM headrace.installation i WHERE i.name = p_name), interval '0')
$$;
