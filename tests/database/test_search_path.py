"""Nothing of ours runs what others planted in a schema on the search_path, whoever calls it and however they connect.

Public is such a schema in every cluster that came from PostgreSQL 14 or older; here it is a separate one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from orchestration.campaign_stats.checks import stored_equals_recomputed
from tests import traps
from tests.campaign_stats.conftest import the_check
from tests.campaign_stats.oracle import assert_all_agree, drain
from tests.commands import run
from tests.faults.pgbouncer import pgbouncer
from tests.rows import a_history
from tests.sessions import as_role

# Types that borrow the catalog's operators for text: closer ones would be bound into what migrate makes.
AS_VARCHAR = """
    DROP INDEX messages_incoming, send_queue_message;
    ALTER TABLE messages ALTER direction TYPE varchar(20);
    ALTER TABLE send_queue ALTER status TYPE varchar(20), ALTER whatsapp_message_id TYPE varchar;
    CREATE INDEX ON messages (user_phone, whatsapp_number_id, created_at) WHERE direction = 'incoming';
    CREATE INDEX ON send_queue (whatsapp_message_id);
"""
# As a role or a database may have it. Where the catalog is not named it comes first, and traps are taken only if they fit better.
PATHS = ("planted, public", "planted, pg_catalog, public")
# For the test's own sessions, which count with the catalog's functions.
CLEAN = "-c%20search_path%3Dpg_catalog%2Cpublic"


@contextmanager
def trapped(url: str, path: str) -> Iterator[psycopg.Connection[Any]]:
    """A clean session on a database full of traps and with this search_path; checks at the end that none was run."""
    own = f"{url}{'&' if '?' in url else '?'}options={CLEAN}"
    with psycopg.connect(own, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA planted; GRANT USAGE ON SCHEMA planted TO PUBLIC")
        assert traps.plant(connection) > 5_000
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = {path}".encode())
        yield connection
        assert traps.sprung(connection) == []


def headrace(url: str, *arguments: str) -> str:
    done = run(*arguments, HEADRACE_DATABASE_URL=url)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("path", PATHS)
def test_no_command_and_no_check_runs_what_others_planted(
    path: str, app_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(app_database) as connection:
        connection.execute(AS_VARCHAR)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", app_database)
    with trapped(app_database, path) as connection:
        everything(app_database, connection)
        if path == PATHS[-1]:
            assert the_check(stored_equals_recomputed).passed
        headrace(app_database, "uninstall", "--yes")


def test_nor_does_any_behind_a_pooler_that_sets_nothing_for_us(server_url: str, app_database: str) -> None:
    with (
        pgbouncer(server_url, "transaction", size=3) as through,
        trapped(app_database, PATHS[1]) as connection,
    ):
        everything(through(app_database), connection)
        headrace(through(app_database), "uninstall", "--yes")


def everything(url: str, application: psycopg.Connection[Any]) -> None:
    assert run("doctor", HEADRACE_DATABASE_URL=url).exit_code == 1
    assert "is not installed" in run("migrate", "--check", HEADRACE_DATABASE_URL=url).stdout
    headrace(url, "migrate")
    assert "up to date" in headrace(url, "migrate", "--check")
    campaigns = a_history(application)
    headrace(url, "worker", "--until-idle", "--timeout", "60")
    assert_all_agree(application)
    headrace(url, "rebuild", str(campaigns[0]))
    headrace(url, "doctor")
    headrace(url, "stats")
    headrace(url, "stats", str(campaigns[0]))
    headrace(url, "streams")
    headrace(url, "campaigns", "list")
    headrace(url, "campaigns", "amendments")
    headrace(url, "dead-letters", "list")
    headrace(url, "dead-letters", "retry")
    headrace(url, "streams", "rebase", "campaign_stats")


# Without WHERE and functions: what the session itself names is looked up on its own path.
WRITTEN_AND_READ = """
    INSERT INTO public.campaigns (id, name, status) VALUES ('00000000-0000-0000-0000-000000000001', 'one', 'running');
    INSERT INTO public.send_queue (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000001', 'sent');
    INSERT INTO public.messages (direction, created_at) VALUES ('incoming', '2026-03-01 12:00+00');
    INSERT INTO public.message_status_logs (whatsapp_message_id, status) VALUES ('wamid.1', 'read');
    UPDATE public.campaigns SET status = 'paused', name = 'other';
    UPDATE public.send_queue SET status = 'queued', whatsapp_message_id = 'wamid.1';
    UPDATE public.messages SET user_phone = '1';
    DELETE FROM public.message_status_logs;
    SELECT headrace.campaign_stats('00000000-0000-0000-0000-000000000001');
    SELECT headrace.list_campaign_stats();
    SELECT headrace.template_stats();
    SELECT headrace.get_campaign_template_stats('00000000-0000-0000-0000-000000000001');
    SELECT headrace.ingest_whatsapp_webhook('{"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [
        {"field": "messages", "value": {"metadata": {"phone_number_id": "100"}, "statuses": [
        {"id": "wamid.1", "status": "read", "timestamp": "1772366400", "recipient_id": "1"}]}}]}]}');
    TRUNCATE public.messages;
"""


@pytest.mark.parametrize("path", PATHS)
def test_nor_do_triggers_and_functions_in_a_session_of_the_application(path: str, database: str) -> None:
    with trapped(database, path), psycopg.connect(database, autocommit=True) as application:
        for statement in WRITTEN_AND_READ.split(";\n"):
            application.execute(statement.encode())


# What a reader may ask, with answers that are the same at any time.
READ = {
    "headrace_reader": [
        "TABLE headrace.campaign_template_stats_live",
        "TABLE headrace.campaign_hourly_stats",
        "TABLE headrace.campaign_template_stats",
        "SELECT headrace.template_stats()",
        "SELECT headrace.get_campaign_template_stats('{campaign}')",
        "SELECT headrace.campaign_contact_distribution('{campaign}')",
    ],
    "headrace_app": ["TABLE headrace.campaign_template_stats_live", "TABLE headrace.campaign_hourly_stats"],
    "headrace_worker": ["TABLE headrace.document_agreement", "TABLE headrace.document_faults"],
}
# Rows are not compared, because they contain times.
ALSO_READ = {
    "headrace_reader": [
        "TABLE headrace.stream_lag",
        "SELECT headrace.campaign_stats('{campaign}')",
        "SELECT headrace.list_campaign_stats()",
    ],
    "headrace_app": ["SELECT headrace.campaign_stats('{campaign}')"],
    "headrace_worker": ["TABLE headrace.stream_lag"],
}


@pytest.mark.parametrize("path", PATHS)
def test_a_schema_of_a_readers_own_changes_nothing_of_what_views_and_functions_return(
    path: str, database: str
) -> None:
    def read(role: str, statement: str, search_path: str) -> list[str]:
        with psycopg.connect(as_role(database, role), autocommit=True) as reader:
            reader.execute(f"SET search_path = {search_path}".encode())
            rows = reader.execute(statement.format(campaign=campaigns[0]).encode()).fetchall()
        return sorted(map(str, rows))

    with psycopg.connect(database, autocommit=True) as application:
        campaigns = a_history(application)
        application.execute(
            "UPDATE send_queue SET template_name = repeat('long ', 300) WHERE user_phone = 'phone 1'"
        )
        drain(application)
    as_it_is = {
        (role, statement): read(role, statement, "pg_catalog")
        for role, statements in READ.items()
        for statement in statements
    }
    assert sum(map(len, as_it_is.values())) > 40
    with trapped(database, path):
        for (role, statement), rows in as_it_is.items():
            assert read(role, statement, path) == rows, statement
        for role, statements in ALSO_READ.items():
            for statement in statements:
                assert read(role, statement, path), statement
