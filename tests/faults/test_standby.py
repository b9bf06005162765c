"""Servers that accept no writes: doctor says so and checks what it can, other commands refuse in a sentence."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestration.demo.campaign_stats.load import create_schema
from orchestration.install.migrate import migrate
from orchestration.local.server import ensure_server, stop_server
from orchestration.settings import Settings
from tests.campaign_stats.oracle import drain
from tests.commands import a_sentence, run
from tests.rows import a_history


@pytest.fixture
def standby(settings: Settings) -> Iterator[str]:
    """A counted database on a server that was started as a standby without a primary."""
    home = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    home.chmod(0o755)
    try:
        server = ensure_server(home)
        database = server.url("app")
        create_schema(database, "public")
        migrate(database, settings)
        with psycopg.connect(database, autocommit=True) as connection:
            a_history(connection)
            drain(connection)
        stop_server(home)
        signal = server.data / "standby.signal"
        signal.touch()
        shutil.chown(signal, server.data.stat().st_uid, server.data.stat().st_gid)
        yield ensure_server(home).url("app")
    finally:
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


def test_doctor_on_a_standby_says_so_and_checks_what_it_can_and_reading_works(standby: str) -> None:
    told = run("doctor", "--json", HEADRACE_DATABASE_URL=standby)
    assert told.exit_code == 1, told.output
    document = json.loads(told.stdout)
    (error,) = document["errors"]
    assert error["what"].startswith("this server is a standby: it takes no writes")
    assert "target_session_attrs=read-write" in error["remedy"]
    assert document["domains"] == ["campaign_stats"]
    assert [note["remedy"] for note in document["notes"]] == ["headrace worker"]
    for command in (
        ("stats",),
        ("campaigns", "list"),
        ("streams",),
        ("dead-letters", "list"),
        ("migrate", "--check"),
    ):
        shown = run(*command, HEADRACE_DATABASE_URL=standby)
        assert shown.exit_code == 0, (command, shown.output)
    for command in (("migrate",), ("rebuild", "--all"), ("uninstall", "--yes")):
        said = a_sentence(run(*command, HEADRACE_DATABASE_URL=standby))
        assert "read-only" in said or "recovery" in said, said
    assert a_sentence(run("migrate", HEADRACE_DATABASE_URL=standby)).endswith("headrace doctor says why")


def test_doctor_of_a_database_that_takes_no_writes_says_where_that_was_set(database: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        told = run("doctor", HEADRACE_DATABASE_URL=database)
        assert told.exit_code == 1
        remedy = f"ALTER DATABASE {name} RESET default_transaction_read_only;"
        assert (
            "wrong: the server takes no writes in this database: default_transaction_read_only is on, and statistics stand still\n"
            f"       {remedy}\n"
        ) in told.output
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(remedy.encode())
    assert run("doctor", HEADRACE_DATABASE_URL=database).exit_code == 0
    by_url = f"{database}{'&' if '?' in database else '?'}options=-cdefault_transaction_read_only%3Don"
    assert "or of the URL's options" in run("doctor", HEADRACE_DATABASE_URL=by_url).output
