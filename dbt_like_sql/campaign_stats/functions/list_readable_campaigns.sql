-- purpose: a page of list_campaign_stats if some columns of campaigns cannot be read: stored documents, with the columns that are left
-- grain:   as list_campaign_stats, with p_paused on the page and each document; raises an error if the columns for order or user are lost
-- reads:   readable_campaigns, source_problems, headrace.campaign, headrace.campaign_computed_stats
-- writes:  nothing
-- locks:   none
--
-- p_at, p_id: where the page begins; p_last: the last campaign of the page before.
CREATE OR REPLACE FUNCTION headrace.list_readable_campaigns(
    p_user_id {{ type('campaigns', 'user_id') }}, p_at timestamptz, p_id uuid, p_last uuid, p_limit integer, p_paused text
) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_list jsonb;
    v_next text;
BEGIN
    IF EXISTS (
        SELECT FROM headrace.source_problems(ARRAY['campaigns']) p
        WHERE p.column_name IS NULL OR p.column_name IN ('id', 'created_at') OR p.column_name = 'user_id' AND p_user_id IS NOT NULL)
    THEN
        RAISE EXCEPTION '%', p_paused USING ERRCODE = 'HR001';
    END IF;
    SELECT
        jsonb_agg(
            CASE
                WHEN (d).campaign_id IS NOT NULL THEN headrace.document_json(u.facts, d)
                ELSE u.facts || jsonb_build_object(
                    'source', 'none', 'state', CASE WHEN u.shows_numbers THEN 'pending' END, 'version', NULL, 'computed_at', NULL,
                    'age_seconds', NULL, 'frozen_at', NULL, 'deleted_at', NULL, 'totals', NULL, 'template_stats', NULL)
            END || jsonb_build_object('paused', p_paused) ORDER BY u.n) FILTER (WHERE u.n <= p_limit),
        rtrim(translate(encode(convert_to(
            (jsonb_agg(jsonb_build_array(u.created_at AT TIME ZONE 'UTC', u.campaign_id, md5(p_user_id::text)))
                FILTER (WHERE u.n = p_limit AND u.found > p_limit) -> 0)::text, 'UTF8'), 'base64'), E'+/\n', '-_'), '=')
    INTO v_list, v_next
    FROM (
        SELECT
            c.campaign_id, c.created_at, s.shows_numbers, d,
            jsonb_build_object(
                'campaign_id', c.campaign_id, 'name', coalesce(c.name, d.facts ->> 'name'), 'status', c.status,
                'created_at', c.created_at, 'completed_at', c.completed_at) AS facts,
            row_number() OVER (ORDER BY c.created_at DESC, c.campaign_id DESC) AS n, count(*) OVER () AS found
        FROM (
            SELECT r.* FROM headrace.readable_campaigns() r
            WHERE (r.created_at, r.campaign_id) <= (p_at, p_id) AND r.campaign_id IS DISTINCT FROM p_last
                AND (p_user_id IS NULL OR r.user_id = p_user_id)
            ORDER BY r.created_at DESC, r.campaign_id DESC LIMIT p_limit + 1
        ) c
        LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
        CROSS JOIN LATERAL (
            SELECT coalesce(k.state IN ('frozen', 'amended'), false) OR coalesce(c.status NOT IN ('scheduled', 'failed'), true) AS shows_numbers
        ) s
        LEFT JOIN headrace.campaign_computed_stats d
            ON d.campaign_id = c.campaign_id AND s.shows_numbers AND k.state IN ('live', 'settling', 'frozen', 'amended')
    ) u;
    RETURN jsonb_build_object('campaigns', coalesce(v_list, '[]'), 'next_cursor', v_next, 'paused', p_paused);
END
$$;
