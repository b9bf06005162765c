-- purpose: keeps queries from reading a source table that is not as migrate found it
-- grain:   one source; true, or an error with the problem and its remedy
-- reads:   headrace.source, source_mark, source_problems
-- writes:  nothing
-- locks:   none
--
-- IMMUTABLE on purpose, although it reads the catalog: with a constant argument it is computed when a statement is planned and costs
-- nothing at run time. Each ALTER of the table invalidates the plan, so it is computed again before anything touches a changed
-- column: a cast or operator of the application would run with the rights of our functions.
CREATE OR REPLACE FUNCTION headrace.source_holds(p_source text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_problem record;
BEGIN
    IF EXISTS (
        SELECT FROM headrace.source s WHERE s.source = p_source
            AND s.mark IS DISTINCT FROM headrace.source_mark(s.schema_name, s.table_name, ARRAY(SELECT jsonb_object_keys(s.columns))))
    THEN
        SELECT p.what, p.remedy INTO v_problem FROM headrace.source_problems(ARRAY[p_source]) p LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '%', v_problem.what || '; run: ' || v_problem.remedy USING ERRCODE = 'HR001';
        END IF;
    END IF;
    RETURN true;
END
$$;
