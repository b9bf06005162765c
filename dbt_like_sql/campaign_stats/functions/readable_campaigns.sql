-- purpose: campaigns after the application has altered the table: the columns that can still be read, the others null
-- grain:   one row per campaign, of p_campaigns or all; none if the table, its id or a right is missing
-- reads:   source_problems, {{ source }}.campaigns
-- writes:  nothing
-- locks:   none
--
-- It names only unchanged columns: the casts of another type would run with our rights.
CREATE OR REPLACE FUNCTION headrace.readable_campaigns(p_campaigns uuid[] DEFAULT NULL)
RETURNS TABLE (
    campaign_id uuid, name text, status text, user_id {{ type('campaigns', 'user_id') }}, created_at timestamptz, completed_at timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_lost constant text[] := ARRAY(SELECT coalesce(p.column_name, 'id') FROM headrace.source_problems(ARRAY['campaigns']) p);
BEGIN
    IF 'id' = ANY (v_lost) THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT c.id, %s, %s, %s, %s, %s FROM {{ source | replace("'", "''") | replace('%', '%%') }}.campaigns c WHERE $1 IS NULL OR c.id = ANY ($1)',
        CASE WHEN 'name' = ANY (v_lost) THEN 'NULL::text' ELSE 'c.name::text' END,
        CASE WHEN 'status' = ANY (v_lost) THEN 'NULL::text' ELSE 'c.status::text' END,
        {{ optional('campaigns', 'user_id', "CASE WHEN 'user_id' = ANY (v_lost) THEN 'NULL::" + type('campaigns', 'user_id') + "' ELSE 'c.user_id' END", "'NULL::text'") }},
        CASE WHEN 'created_at' = ANY (v_lost) THEN 'NULL::timestamptz' ELSE 'c.created_at' END,
        {{ optional('campaigns', 'completed_at', "CASE WHEN 'completed_at' = ANY (v_lost) THEN 'NULL::timestamptz' ELSE 'c.completed_at' END", "'NULL::timestamptz'") }})
    USING p_campaigns;
END
$$;
