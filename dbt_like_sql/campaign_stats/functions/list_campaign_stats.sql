-- purpose: a page of campaigns with their stored statistics, newest first, and a cursor for the next page
-- grain:   one document per campaign, as from campaign_stats, but none is counted live
-- reads:   stg_campaigns, headrace.campaign, headrace.campaign_computed_stats; list_readable_campaigns if columns are lost
-- writes:  nothing
-- locks:   none
--
-- A cursor is base64url of [created_at in UTC, id, md5 of the user] of the page's last campaign. Planned once a session: to plan
-- at each call took two thirds of its time. A plan that serves every page does not know how few rows a page has, so only what reads
-- a page in the index's order is left to it, and lists with and without a user are two statements.
CREATE OR REPLACE FUNCTION headrace.list_campaign_stats(
    p_user_id {{ type('campaigns', 'user_id') }} DEFAULT NULL,
    p_cursor text DEFAULT NULL, p_limit integer DEFAULT 20
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    v_at timestamptz := 'infinity';
    v_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    v_last uuid;
    v_cursor jsonb;
    v_list jsonb[];
    v_next text;
    v_paused text;  -- why columns of campaigns cannot be read
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'p_limit is %, but a page has 1 to 200 campaigns', coalesce(p_limit::text, 'null') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF {{ optional('campaigns', 'user_id', 'false', 'p_user_id IS NOT NULL') }} THEN
        RAISE EXCEPTION 'campaigns has no column user_id: there are no lists by user'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave p_user_id null.';
    END IF;
    -- Anything longer is not ours, and checking it would copy it several times.
    IF octet_length(p_user_id::text) > 2000 THEN
        RAISE EXCEPTION 'p_user_id has % bytes, but no list is of a user whose id has more than 2000', octet_length(p_user_id::text)
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF octet_length(p_cursor) > 400 THEN
        RAISE EXCEPTION 'p_cursor is not a cursor of this list: it has % bytes', octet_length(p_cursor)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass next_cursor of the page before as it came, or null for the first page.';
    ELSIF p_cursor IS NOT NULL THEN
        BEGIN
            v_cursor := convert_from(decode(rpad(translate(p_cursor, '-_', '+/'), (length(p_cursor) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb;
            v_at := (v_cursor ->> 0)::timestamp AT TIME ZONE 'UTC';
            v_id := CASE WHEN jsonb_array_length(v_cursor) = 3 THEN (v_cursor ->> 1)::uuid END;
            v_last := v_id;
        EXCEPTION WHEN data_exception THEN
            v_id := NULL;
        END;
        IF v_at IS NULL OR v_id IS NULL THEN
            RAISE EXCEPTION 'p_cursor is not a cursor of this list'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass next_cursor of the page before as it came, or null for the first page.';
        ELSIF v_cursor ->> 2 IS DISTINCT FROM md5(p_user_id::text) THEN
            RAISE EXCEPTION 'p_cursor is of the list of another user'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass the p_user_id that the cursor was given for, or null for the first page.';
        END IF;
    END IF;

    BEGIN
        -- Each object is built in one step (as document_json does), and so is their array: each further step would copy everything.
        {%- macro page(of_user) %}
            SELECT
                array_agg(
                    jsonb_build_object(
                        'campaign_id', u.campaign_id, 'name', u.name, 'status', u.status, 'created_at', u.created_at, 'completed_at', u.completed_at,
                        'source', CASE WHEN u.stored IN ('frozen', 'amended') THEN 'frozen' WHEN u.stored IS NOT NULL THEN 'computed' ELSE 'none' END,
                        'state', coalesce(u.stored, CASE WHEN u.shows_numbers THEN 'pending' END), 'version', u.version, 'computed_at', u.computed_at,
                        'age_seconds', round(extract(EPOCH FROM clock_timestamp() - u.computed_at), 3),
                        'frozen_at', u.frozen_at, 'deleted_at', u.deleted_at, 'totals', u.totals, 'template_stats', u.template_stats)
                    ORDER BY u.n) FILTER (WHERE u.n <= p_limit),
                rtrim(translate(encode(convert_to(
                    (jsonb_agg(jsonb_build_array(u.created_at AT TIME ZONE 'UTC', u.campaign_id, md5(p_user_id::text)))
                        FILTER (WHERE u.n = p_limit AND u.found > p_limit) -> 0)::text, 'UTF8'), 'base64'), E'+/\n', '-_'), '=')
            INTO v_list, v_next
            FROM (
                SELECT
                    c.*, s.shows_numbers, d.state AS stored, d.version, d.computed_at, d.frozen_at, d.deleted_at, d.totals, d.template_stats,
                    row_number() OVER (ORDER BY c.created_at DESC, c.campaign_id DESC) AS n, count(*) OVER () AS found
                FROM (
                    SELECT c.* FROM headrace.stg_campaigns() c
                    WHERE (c.created_at, c.campaign_id) <= (v_at, v_id) AND c.campaign_id IS DISTINCT FROM v_last {{ of_user }}
                    ORDER BY c.created_at DESC, c.campaign_id DESC LIMIT p_limit + 1
                ) c
                LEFT JOIN headrace.campaign k ON k.campaign_id = c.campaign_id
                CROSS JOIN LATERAL (
                    SELECT coalesce(k.state IN ('frozen', 'amended'), false) OR coalesce(c.status NOT IN ('scheduled', 'failed'), true) AS shows_numbers
                ) s
                LEFT JOIN headrace.campaign_computed_stats d
                    ON d.campaign_id = c.campaign_id AND s.shows_numbers AND k.state IN ('live', 'settling', 'frozen', 'amended')
            ) u;
        {%- endmacro %}
        IF p_user_id IS NULL THEN
            {{- page('') }}
        ELSE
            {{- page('AND ' + optional('campaigns', 'user_id', 'c.user_id = p_user_id', 'false')) }}
        END IF;
    EXCEPTION WHEN OTHERS THEN
        v_paused := headrace.unreadable(ARRAY['campaigns'], SQLSTATE, SQLERRM);
        IF v_paused IS NULL THEN
            RAISE;
        END IF;
    END;
    IF v_paused IS NOT NULL THEN
        RETURN headrace.list_readable_campaigns(p_user_id, v_at, v_id, v_last, p_limit, v_paused);
    END IF;
    RETURN jsonb_build_object('campaigns', coalesce(v_list, '{}'), 'next_cursor', v_next);
END
$$;
