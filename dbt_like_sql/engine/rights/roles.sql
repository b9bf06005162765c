-- purpose: creates the cluster roles that Headrace needs, and grants them to the role that runs migrate; a superuser runs it once
-- grain:   one statement; headrace_owner, _capture, _ingest, _monitor act in the database; _reader, _app, _worker are for logins
-- reads:   pg_roles
-- writes:  missing roles, missing memberships
-- locks:   none
--
-- None of them may log in, and none has more than it needs. headrace_owner owns schema headrace and reads the application's tables.
-- headrace_capture may only add to the change log, headrace_ingest may only insert what webhooks bring: these two run the
-- application's own code, its casts and triggers. headrace_monitor sees how long other sessions have been writing.
DO $headrace$
DECLARE
    -- first, so that nothing planted in a schema of the path is called
    v_path constant text := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    v_migrator constant name := {{ migrator }};  -- the role that runs headrace migrate
    v_options constant boolean := current_setting('server_version_num')::integer >= 160000;
    v_role name;
BEGIN
    FOREACH v_role IN ARRAY ARRAY[
        'headrace_owner', 'headrace_capture', 'headrace_ingest', 'headrace_monitor', 'headrace_reader', 'headrace_app', 'headrace_worker'
    ]::name[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = v_role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- created concurrently for another database of this cluster
            END;
        END IF;
        BEGIN
            IF v_role IN ('headrace_reader', 'headrace_app', 'headrace_worker') THEN
                -- migrate's role may grant these to logins
                IF NOT pg_has_role(v_migrator, v_role, 'MEMBER WITH ADMIN OPTION') THEN
                    EXECUTE format('GRANT %I TO %I WITH ADMIN %s', v_role, v_migrator,
                        CASE WHEN v_options THEN 'TRUE, INHERIT FALSE, SET FALSE' ELSE 'OPTION' END);
                END IF;
            ELSIF NOT pg_has_role(v_migrator, v_role, 'USAGE')
                OR NOT pg_has_role(v_migrator, v_role, CASE WHEN v_options THEN 'SET' ELSE 'MEMBER' END)
            THEN
                EXECUTE format('GRANT %I TO %I%s', v_role, v_migrator, CASE WHEN v_options THEN ' WITH INHERIT TRUE, SET TRUE' END);
                IF NOT v_options AND NOT pg_has_role(v_migrator, v_role, 'USAGE') THEN
                    EXECUTE format('ALTER ROLE %I INHERIT', v_migrator);
                END IF;
            END IF;
        EXCEPTION WHEN unique_violation OR internal_error THEN
            NULL;  -- granted concurrently
        END;
    END LOOP;
    IF NOT pg_has_role('headrace_monitor', 'pg_read_all_stats', 'USAGE') THEN
        BEGIN
            GRANT pg_read_all_stats TO headrace_monitor;
        EXCEPTION WHEN insufficient_privilege OR unique_violation OR internal_error THEN
            NULL;  -- a role that may create roles may lack this right; then nobody sees how long a transaction has been writing
        END;
    END IF;
END
$headrace$;
