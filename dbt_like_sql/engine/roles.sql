-- purpose: the roles without login that rights are given to: grant one to the login role of an application, dashboard or worker
-- grain:   headrace_reader reads results; headrace_app calls the application's functions; headrace_worker runs the worker
-- reads:   pg_roles
-- writes:  the cluster's roles, only those that are missing
-- locks:   none
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['headrace_reader', 'headrace_app', 'headrace_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- a migration of another database of this cluster made it at the same moment
            END;
        END IF;
    END LOOP;
END
$$;
