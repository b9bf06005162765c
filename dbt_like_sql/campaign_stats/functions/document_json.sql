-- purpose: a stored document in the form that applications get, with its source and age
-- grain:   one document; p_facts: name, status and dates of the campaign
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.document_json(p_facts jsonb, p_document headrace.campaign_computed_stats) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT p_facts || jsonb_build_object(
        'source', CASE WHEN p_document.state IN ('frozen', 'amended') THEN 'frozen' ELSE 'computed' END,
        'state', p_document.state, 'version', p_document.version, 'computed_at', p_document.computed_at,
        'age_seconds', round(extract(EPOCH FROM clock_timestamp() - p_document.computed_at), 3),
        'frozen_at', p_document.frozen_at, 'deleted_at', p_document.deleted_at,
        'totals', p_document.totals, 'template_stats', p_document.template_stats)
$$;
