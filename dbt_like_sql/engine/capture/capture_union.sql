-- purpose: combines several domains' specs of a source table into one that captures all they want
-- grain:   one object, like those of capture_spec; a single spec stays as it is
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- Column lists are merged. If the domains want different rows, all rows are captured. If one domain has p_keys and another p_left,
-- the columns of both are logged with every change.
CREATE OR REPLACE FUNCTION headrace.capture_union(p_source text, p_specs jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_all jsonb;
    v_lists jsonb;
BEGIN
    IF EXISTS (
        SELECT FROM jsonb_each(p_specs) d (name, spec)
        HAVING count(DISTINCT d.spec ->> 'table') <> 1 OR count(DISTINCT d.spec ->> 'entity') <> 1 OR count(DISTINCT d.spec ->> 'scope') > 1)
    THEN
        RAISE EXCEPTION 'capture of %: domains have to name the same table, entity and scope: %', p_source, p_specs
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT jsonb_object_agg(l.list, (
        SELECT coalesce(jsonb_agg(u.column_name ORDER BY u.place), '[]')
        FROM (
            SELECT c.column_name, min(d.n * 10000 + c.n) AS place
            FROM jsonb_each(p_specs) WITH ORDINALITY d (name, spec, n)
            CROSS JOIN LATERAL jsonb_array_elements_text(d.spec -> l.list) WITH ORDINALITY c (column_name, n)
            GROUP BY c.column_name
        ) u))
    INTO v_lists FROM unnest(ARRAY['keys', 'left', 'watch', 'reads', 'others']) l (list);
    SELECT jsonb_build_object(
        'table', min(d.spec ->> 'table')::oid, 'entity', min(d.spec ->> 'entity'), 'scope', min(d.spec ->> 'scope'),
        'only_column', CASE WHEN o.are_alike THEN min(d.spec ->> 'only_column') END,
        'only_value', CASE WHEN o.are_alike THEN min(d.spec ->> 'only_value') END) || v_lists
    INTO v_all
    FROM jsonb_each(p_specs) d (name, spec)
    CROSS JOIN (SELECT count(DISTINCT jsonb_build_array(s.spec -> 'only_column', s.spec -> 'only_value')) = 1 AS are_alike FROM jsonb_each(p_specs) s (name, spec)) o
    GROUP BY o.are_alike;
    IF v_all -> 'keys' <> '[]' AND v_all -> 'left' <> '[]' THEN
        v_all := v_all || jsonb_build_object('left', '[]'::jsonb, 'keys', (v_all -> 'keys') || coalesce((
            SELECT jsonb_agg(c) FROM jsonb_array_elements(v_all -> 'left') c WHERE NOT (v_all -> 'keys') @> c), '[]'));
    END IF;
    RETURN v_all;
END
$$;
