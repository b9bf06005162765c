-- purpose: why the application's tables cannot be read, in a sentence: the problem and what to run
-- grain:   one error from reading these sources; null: the error is about something else
-- reads:   source_problems
-- writes:  nothing
-- locks:   none
--
-- If a table was noted, source_problems says more than the error. For a table that is not noted (campaign_contacts) the error is all
-- there is: an unknown column or table, a wrong type, a missing right. Temporary errors stay as they are.
CREATE OR REPLACE FUNCTION headrace.unreadable(p_sources text[], p_state text, p_message text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, headrace, pg_temp
AS $$
    SELECT CASE WHEN p_state LIKE '42%' OR p_state IN ('HR001', '3F000', '0A000') THEN coalesce(
        (SELECT p.what || '; run: ' || p.remedy FROM headrace.source_problems(p_sources) p LIMIT 1),
        CASE WHEN p_state = 'HR001' THEN p_message END,
        CASE
            WHEN p_state IN ('42703', '42P01', '42P13', '42804', '42883', '42501', '3F000')
                THEN 'a table of the application can no longer be read: ' || p_message || '; see dbt_like_sql/sources.yml, then run: headrace migrate'
        END) END
$$;
