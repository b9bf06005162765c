"""Owners of a source table, or of a trigger on one, gain nobody's rights through what Headrace runs of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from orchestration.demo.campaign_stats.load import create_schema
from orchestration.engine.stream import drain
from orchestration.install.doctor import diagnose
from orchestration.install.migrate import check_migration, migrate
from orchestration.install.rights import INTERNAL
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree
from tests.rows import a_history, insert
from tests.sessions import as_role

READ = {
    "object": "whatsapp_business_account",
    "entry": [
        {
            "changes": [
                {
                    "field": "messages",
                    "value": {"statuses": [{"id": "w1", "status": "read", "timestamp": "1774600000"}]},
                }
            ]
        }
    ],
}
# What planted code tries as the role it runs as; it records what it could do.
PLANTED = """
CREATE SCHEMA w;
GRANT USAGE ON SCHEMA w TO PUBLIC;
CREATE TABLE w.loot (who name, what text);
GRANT SELECT, INSERT ON w.loot TO PUBLIC;
CREATE TABLE w.secret (x text);
CREATE FUNCTION w.strike() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $strike$
DECLARE
    v_try text;
BEGIN
    IF EXISTS (SELECT FROM w.loot WHERE who = current_user) THEN
        RETURN true;
    END IF;
    INSERT INTO w.loot VALUES (current_user, 'run');
    FOREACH v_try IN ARRAY ARRAY[
        'ALTER ROLE headrace_reader SUPERUSER', 'CREATE ROLE w_made', 'GRANT headrace_owner TO headrace_reader',
        'SELECT count(*) FROM w.secret', 'SELECT count(*) FROM public.campaigns', 'SELECT count(*) FROM public.messages',
        'SELECT count(*) FROM headrace.campaign', 'SELECT count(*) FROM headrace.change_log', 'DELETE FROM headrace.change_log',
        'UPDATE headrace.installation SET value = value', 'DELETE FROM public.messages', 'UPDATE public.campaigns SET name = name',
        'INSERT INTO public.campaigns (name) VALUES (''planted'')',
        'SELECT headrace.request_rebuild()', 'SELECT headrace.campaign_stats(gen_random_uuid())',
        'CREATE FUNCTION headrace.planted() RETURNS integer LANGUAGE sql AS ''SELECT 1''',
        'CREATE TABLE headrace.planted ()', 'CREATE TABLE public.planted ()', 'CREATE SCHEMA planted',
        'ALTER FUNCTION headrace.store_webhook_items(jsonb) SECURITY INVOKER',
        'ALTER FUNCTION headrace.ingest_whatsapp_webhook(jsonb) SECURITY INVOKER',
        'SELECT pg_read_file(''PG_VERSION'')', 'SET ROLE headrace_owner', 'SET ROLE postgres'
    ] LOOP
        BEGIN
            EXECUTE v_try;
            INSERT INTO w.loot VALUES (current_user, v_try);
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    RETURN true;
END $strike$;
CREATE FUNCTION w.trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM w.strike(); RETURN NEW; END';
"""


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A database migrated by a superuser, with code that tries everything it can."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(PLANTED.encode())
        yield connection


def loot(admin: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """Which roles ran the code, and what it could do as each of them."""
    found: dict[str, set[str]] = {}
    for who, what in admin.execute("SELECT who, what FROM w.loot").fetchall():
        found.setdefault(who, set()).add(what)
    return found


def ingest(url: str) -> Any:
    with psycopg.connect(as_role(url, "headrace_app"), autocommit=True) as application:
        return application.execute("SELECT headrace.ingest_whatsapp_webhook(%s)", [Jsonb(READ)]).fetchall()[
            0
        ][0]


ON_STATUSES = {
    "a trigger before": "CREATE TRIGGER w BEFORE INSERT ON message_status_logs FOR EACH ROW EXECUTE FUNCTION w.trigger()",
    "a trigger after": "CREATE TRIGGER w AFTER INSERT ON message_status_logs FOR EACH ROW EXECUTE FUNCTION w.trigger()",
    "a constraint that waits": "CREATE CONSTRAINT TRIGGER w AFTER INSERT ON message_status_logs"
    " DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION w.trigger()",
    "a default": "ALTER TABLE message_status_logs ADD COLUMN struck boolean DEFAULT w.strike()",
    "a check": "ALTER TABLE message_status_logs ADD CHECK (w.strike()) NOT VALID",
    "a rule": "CREATE RULE w AS ON INSERT TO message_status_logs DO ALSO SELECT w.strike()",
}


@pytest.mark.parametrize("plant", ON_STATUSES.values(), ids=ON_STATUSES)
def test_what_a_webhook_sets_off_on_the_applications_tables_can_insert_there_and_nothing_else(
    plant: str, database: str, admin: psycopg.Connection[Any]
) -> None:
    admin.execute(plant.encode())
    admin.execute("DELETE FROM w.loot")
    assert ingest(database)["statuses"]["stored"] == 1
    assert loot(admin) == {"headrace_ingest": {"run"}}


def test_a_trigger_that_changes_the_search_path_changes_it_for_none_of_our_functions(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    for operator, kind in [("-", "bigint"), ("+", "bigint"), ("<>", "jsonb"), ("=", "text"), ("||", "jsonb")]:
        result = "boolean" if operator in ("<>", "=") else kind
        name = sql.Identifier("w", f"op_{kind}_{ord(operator[0])}")
        admin.execute(
            sql.SQL(
                "CREATE FUNCTION {name}(a {kind}, b {kind}) RETURNS {result} LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM w.strike(); RETURN a OPERATOR(pg_catalog.{operator}) b; END $$;"
                " CREATE OPERATOR w.{operator} (LEFTARG = {kind}, RIGHTARG = {kind}, FUNCTION = {name})"
            ).format(name=name, kind=sql.SQL(kind), result=sql.SQL(result), operator=sql.SQL(operator))
        )
    admin.execute("""
        CREATE FUNCTION w.divert() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM set_config('search_path', 'w, pg_catalog', false); RETURN NEW; END $$;
        CREATE TRIGGER w BEFORE INSERT ON message_status_logs FOR EACH ROW EXECUTE FUNCTION w.divert()
    """)
    assert ingest(database)["statuses"]["stored"] == 1
    assert loot(admin) == {}


def test_casts_that_capture_runs_can_do_nothing(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("""
        CREATE TYPE w.evil AS ENUM ('a', 'b');
        CREATE FUNCTION w.evil_text(w.evil) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM w.strike(); RETURN 'x'; END $$;
        CREATE FUNCTION w.evil_json(w.evil) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM w.strike(); RETURN '1'; END $$;
        CREATE CAST (w.evil AS text) WITH FUNCTION w.evil_text(w.evil);
        CREATE CAST (w.evil AS json) WITH FUNCTION w.evil_json(w.evil);
        ALTER TABLE message_status_logs RENAME whatsapp_message_id TO old_id;
        ALTER TABLE message_status_logs ADD whatsapp_message_id w.evil;
        ALTER TABLE send_queue RENAME user_phone TO old_phone;
        ALTER TABLE send_queue ADD user_phone w.evil;
        CREATE ROLE w_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON message_status_logs, send_queue TO w_writer
    """)
    try:
        with psycopg.connect(as_role(database, "w_writer"), autocommit=True) as writer:
            for table, column in (
                ("message_status_logs", "whatsapp_message_id"),
                ("send_queue", "user_phone"),
            ):
                insert(writer, table, **{column: "a"})
                writer.execute(f"UPDATE {table} SET {column} = 'b'".encode())
                writer.execute(f"DELETE FROM {table}".encode())
    finally:
        admin.execute("DROP OWNED BY w_writer; DROP ROLE w_writer")
    found = loot(admin)
    assert "headrace_capture" in found  # they were run
    assert found == {"headrace_capture": {"run"}}


def test_a_policy_is_never_run_by_a_count(
    database: str, admin: psycopg.Connection[Any], settings: Settings
) -> None:
    a_history(admin)
    asyncio.run(drain(database))
    for table in ("send_queue", "message_status_logs", "messages", "campaigns", "campaign_contacts"):
        admin.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY".encode())
        admin.execute(f"CREATE POLICY w ON {table} USING (w.strike())".encode())
    migrate(database, settings)
    admin.execute("UPDATE message_status_logs SET status = 'read' WHERE status = 'sent'")
    admin.execute("SELECT headrace.request_rebuild()")
    asyncio.run(drain(database))
    assert diagnose(database, settings).errors == ()
    assert loot(admin) == {}
    assert admin.execute("SELECT sum(read) > 0 FROM headrace.campaign_template_stats").fetchone() == (True,)


def test_code_in_an_index_is_never_run_by_a_superuser(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    """The planner computes constant parts of an index's predicate as the role that reads the table."""
    database = new_database("app")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(PLANTED.encode())
        admin.execute("""
            CREATE FUNCTION w.immutable(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
            $$ BEGIN RETURN current_user = 'postgres' OR w.strike(); END $$;
            CREATE TABLE w.superusers (n integer);
        """)
        a_history(admin)
        for table in ("send_queue", "message_status_logs", "messages", "campaigns"):
            admin.execute(f"CREATE INDEX ON {table} (id) WHERE w.immutable(1)".encode())
        # From here on it also records superusers.
        admin.execute("""
            CREATE OR REPLACE FUNCTION w.immutable(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
            $$ BEGIN RETURN w.strike(); END $$
        """)
        migrate(database, settings)
        assert check_migration(database, settings) == []
        asyncio.run(drain(database))
        assert diagnose(database, settings).errors == ()
        found = loot(admin)
        assert "headrace_owner" in found  # it was run
        assert set(found) == {"headrace_owner"}
        assert not any(
            what.startswith(("ALTER ROLE", "CREATE ROLE", "GRANT", "SET ROLE"))
            for what in found["headrace_owner"]
        )
        assert not any("secret" in what or "DELETE FROM public" in what for what in found["headrace_owner"])


# --- without CREATEROLE ------------------------------------------------------------------------------------------


def as_login(url: str, role: str) -> str:
    """URL of the same database for a login as this role: there is no other role behind it to return to."""
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{role}@{rest.partition('@')[2]}"


def test_the_printed_statement_is_all_that_a_migrating_role_needs_of_a_superuser(
    migrating_role: str, new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url = new_database(None)
    with psycopg.connect(url, autocommit=True) as admin:
        for grant in (f"CREATE ON DATABASE {admin.info.dbname}", "CREATE ON SCHEMA public"):
            admin.execute(f"GRANT {grant} TO {migrating_role}".encode())
        own = as_login(url, migrating_role)
        create_schema(own, "public")
        migrate(own, settings)
        assert not migrate(own, settings).changed
        assert check_migration(own, settings) == []
        a_history(admin)
        asyncio.run(drain(own))
        assert diagnose(own, settings).errors == ()
        with psycopg.connect(own, autocommit=True) as session:
            for attempt in (
                f"GRANT pg_execute_server_program TO {migrating_role}",
                f"GRANT pg_read_all_stats TO {migrating_role}",
                "CREATE ROLE w_another",
                "ALTER ROLE headrace_owner SUPERUSER",
                "ALTER ROLE headrace_owner BYPASSRLS",
                "GRANT pg_read_all_data TO headrace_owner",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(attempt.encode())


def test_an_installation_that_belongs_to_its_migrating_role_is_handed_over_and_nothing_is_counted_again(
    migrating_role: str, new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url = new_database(None)
    documents = "SELECT campaign_id, version, checksum FROM headrace.campaign_computed_stats ORDER BY 1"
    with psycopg.connect(url, autocommit=True) as admin:
        for grant in (f"CREATE ON DATABASE {admin.info.dbname}", "CREATE ON SCHEMA public"):
            admin.execute(f"GRANT {grant} TO {migrating_role}".encode())
        own = as_login(url, migrating_role)
        create_schema(own, "public")
        migrate(own, settings)
        a_history(admin)
        asyncio.run(drain(own))
        before = admin.execute(documents).fetchall()
        assert len(before) == 2
        # As earlier versions left it: one role owns everything and needs nothing from anybody.
        inside = ", ".join(INTERNAL)
        admin.execute(f"REASSIGN OWNED BY {inside} TO {migrating_role}".encode())
        admin.execute(f"DROP OWNED BY {inside}".encode())
        (owners, *_) = check_migration(own, settings)
        assert owners.startswith("owners differ: schema headrace and ")
        assert migrate(own, settings).rebuilds == 0
        assert check_migration(own, settings) == []
        insert(admin, "message_status_logs", whatsapp_message_id="wamid.0.4", status="read")
        assert ingest(url)["statuses"]["stored"] == 1
        assert admin.execute(documents).fetchall() == before
        asyncio.run(drain(own))
        assert diagnose(own, settings).errors == ()
        assert_all_agree(admin)
