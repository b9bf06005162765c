"""Behind a connection pooler: everything works, nothing is left in sessions that others get, and its mode is reported."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import conninfo_to_dict

from orchestration.campaign_stats.assets import campaign_computed_stats, campaign_template_stats
from orchestration.campaign_stats.checks import stored_equals_recomputed
from orchestration.cli import main
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.definitions import defs
from orchestration.install import pooler
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree
from tests.faults.pgbouncer import free_port, pgbouncer
from tests.rows import a_history
from tests.sessions import wait_until
from tests.traffic import traffic

Through = Callable[[str], str]


@pytest.fixture(scope="module")
def transaction_pooler(server_url: str) -> Iterator[Through]:
    with pgbouncer(server_url, "transaction", size=3) as through:
        yield through


@pytest.fixture(scope="module")
def session_pooler(server_url: str) -> Iterator[Through]:
    with pgbouncer(server_url, "session", size=3) as through:
        yield through


def headrace(url: str, *arguments: str) -> Result:
    others = {name: None for name in os.environ if name.startswith(("HEADRACE_", "DAGSTER_"))}
    return CliRunner(env={**others, "HEADRACE_DATABASE_URL": url}).invoke(main, list(arguments))


@contextmanager
def a_worker(url: str, log: Path) -> Iterator[None]:
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "worker", "--concurrency", "2"],
            env={**os.environ, "HEADRACE_DATABASE_URL": url},
            cwd=Path(__file__).parents[2],
            stderr=stderr,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
    assert process.returncode == 0
    assert "tries again" not in log.read_text()


# --- everything through it ---------------------------------------------------------------------------------------


def test_worker_commands_and_dagster_work_through_a_transaction_pooler_under_traffic(
    database: str, transaction_pooler: Through, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = transaction_pooler(database)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    with psycopg.connect(database, autocommit=True) as direct, dg.DagsterInstance.ephemeral() as instance:
        campaigns = a_history(direct)
        with a_worker(url, tmp_path / "log"), traffic(url, campaigns) as transactions:
            wait_until(
                lambda: direct.execute("SELECT state FROM headrace.worker").fetchall() == [("running",)]
            )
            wait_until(lambda: len(transactions) > 100)
            document = json.loads(headrace(url, "stats", str(campaigns[0]), "--json").stdout)
            assert document["totals"]["total"] > 0
            assert headrace(url, "stats").exit_code == 0
            assert headrace(url, "rebuild", str(campaigns[1])).exit_code == 0
            examined = json.loads(headrace(url, "doctor", "--json").stdout)
            assert examined["errors"] == []
            assert ["in transaction mode" in note["what"] for note in examined["notes"]] == [True]

            done = dg.materialize(
                [campaign_template_stats, campaign_computed_stats, stored_equals_recomputed],
                instance=instance,
                partition_key=today,
                resources={"database": ApplicationDatabase()},
                run_config={"ops": {"campaign_template_stats": {"config": {"rebuild": True}}}},
            )
            assert len(done.get_asset_materialization_events()) == 2
            assert [evaluation.passed for evaluation in done.get_asset_check_evaluations()] == [True]
            context = dg.build_sensor_context(
                instance=instance, definitions=defs, resources={"database": ApplicationDatabase()}
            )
            assert (
                not defs.resolve_sensor_def("stream_backlog").evaluate_tick(context).run_requests
            )  # a worker is alive
        drained = headrace(url, "worker", "--until-idle", "--timeout", "60")
        assert drained.exit_code == 0, drained.output
        assert_all_agree(direct)
        assert direct.execute("SELECT count(*) FROM headrace.dead_letter").fetchone() == (0,)
        assert headrace(url, "streams").exit_code == 0


def test_nothing_stays_in_a_session_that_the_next_client_gets(
    server_url: str, database: str, settings: Settings, tmp_path: Path
) -> None:
    with pgbouncer(server_url, "transaction", size=1) as through:
        url = through(database)
        with psycopg.connect(url, autocommit=True, application_name="next client") as next_client:
            before = session_of(next_client)
            campaigns = a_history(next_client)
            assert headrace(url, "worker", "--until-idle").exit_code == 0
            assert headrace(url, "uninstall", "--yes").exit_code == 0
            assert headrace(url, "migrate").exit_code == 0
            assert headrace(url, "worker", "--until-idle").exit_code == 0
            assert headrace(url, "rebuild", str(campaigns[0])).exit_code == 0
            assert headrace(url, "doctor").exit_code == 0
            assert session_of(next_client) == before
            assert_all_agree(next_client)


def session_of(client: psycopg.Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """What a session keeps after a transaction, including its process id."""
    return {
        what: client.execute(statement.encode()).fetchall()
        for what, statement in {
            "process": "SELECT pg_backend_pid()",
            "settings": "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name",
            "advisory locks": "SELECT * FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
            "prepared statements": "SELECT name FROM pg_prepared_statements",
            "cursors": "SELECT name FROM pg_cursors WHERE name <> ''",
            "channels": "SELECT pg_listening_channels()",
            "temporary tables": "SELECT relname FROM pg_class WHERE relpersistence = 't' ORDER BY 1",
        }.items()
    }


def test_what_other_clients_leave_in_a_session_does_no_harm(
    server_url: str, app_database: str, settings: Settings
) -> None:
    with pgbouncer(server_url, "transaction", size=1) as through:
        url = through(app_database)
        with psycopg.connect(url, autocommit=True) as other:
            for setting in (
                "search_path = ''",
                "DateStyle = 'German'",
                "TimeZone = 'Asia/Kolkata'",
                "IntervalStyle = 'sql_standard'",
                "default_transaction_isolation = 'repeatable read'",
                "check_function_bodies = on",
                "jit = off",
                "extra_float_digits = 0",
                "bytea_output = 'escape'",
            ):
                other.execute(f"SET {setting}".encode())
            assert headrace(url, "migrate").exit_code == 0
            with psycopg.connect(app_database, autocommit=True) as direct:
                campaigns = a_history(direct)
                assert headrace(url, "worker", "--until-idle").exit_code == 0
                assert_all_agree(direct)
                assert headrace(url, "rebuild", str(campaigns[0])).exit_code == 0
                assert headrace(url, "doctor").exit_code == 0
                assert headrace(url, "uninstall", "--yes").exit_code == 0
                assert direct.execute("SELECT to_regnamespace('headrace')").fetchone() == (None,)


# --- its mode is told --------------------------------------------------------------------------------------------


def test_migrate_and_uninstall_say_that_they_were_given_a_transaction_pooler_and_go_on(
    app_database: str, transaction_pooler: Through
) -> None:
    url = transaction_pooler(app_database)
    for command in (("migrate",), ("uninstall", "--yes")):
        done = headrace(url, *command)
        assert done.exit_code == 0
        assert done.stderr.startswith("note: a connection pooler in transaction mode stands between ")
        assert "HEADRACE_DATABASE_URL" in done.stderr
        assert done.stderr.count("\n") == 1
        assert "pooler" not in done.stdout


def test_a_session_pooler_is_as_good_as_none(app_database: str, session_pooler: Through) -> None:
    url = session_pooler(app_database)
    assert pooler.mode(url) == "session"
    assert headrace(url, "migrate").stderr == ""
    examined = json.loads(headrace(url, "doctor", "--json").stdout)
    assert examined["errors"] == []
    assert ["in session mode" in note["what"] for note in examined["notes"]] == [False, True]
    assert headrace(url, "worker", "--until-idle").exit_code == 0


def test_a_session_pool_of_one_is_told_too(
    server_url: str, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pgbouncer(server_url, "session", size=1) as through:
        assert pooler.mode(through(database)) == "session"
        assert headrace(through(database), "doctor").exit_code == 0
    assert capfd.readouterr() == ("", "")


def test_a_transaction_pool_that_others_hold_is_told_too(server_url: str, database: str) -> None:
    with pgbouncer(server_url, "transaction", size=1) as through:
        url = through(database)
        with psycopg.connect(url) as other:
            other.execute("SELECT 1")
            first_looks = threading.Timer(1.0, other.rollback)
            first_looks.start()
            assert pooler.mode(url) == "transaction"
            first_looks.join()


def test_neither_a_socket_nor_a_proxy_is_taken_for_a_pooler(database: str) -> None:
    assert pooler.mode(database) is None
    with a_proxy(database) as url:
        assert pooler.mode(url) is None


@contextmanager
def a_proxy(database: str) -> Iterator[str]:
    """A plain TCP proxy that passes on every byte."""
    server = conninfo_to_dict(database)
    host, port = str(server["host"]), int(server.get("port") or 5432)
    listening = socket.create_server(("127.0.0.1", free_port()))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            if host.startswith("/"):
                behind = socket.socket(socket.AF_UNIX)
                behind.connect(f"{host}/.s.PGSQL.{port}")
            else:
                behind = socket.create_connection((host, port))
            for source, target in ((client, behind), (behind, client)):
                threading.Thread(target=pass_on, args=(source, target), daemon=True).start()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one of the two has been closed
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"postgresql://{server['user']}@127.0.0.1:{listening.getsockname()[1]}/{server['dbname']}"
    finally:
        listening.close()


POOLS = {
    "the last one first": lambda size: itertools.repeat(0),
    "in turns": lambda size: itertools.cycle(range(size)),
    "by chance": lambda size: iter(lambda: random.randrange(size), None),
}


@pytest.mark.parametrize("size", [1, 2, 3, 20])
@pytest.mark.parametrize("order", POOLS.values(), ids=POOLS)
def test_in_whatever_order_a_transaction_pool_hands_out_servers_its_clients_meet(
    order: Callable[[int], Iterator[int]], size: int
) -> None:
    for _ in range(50):
        servers = order(size)
        assert pooler.mode_of(lambda: next(servers), lambda: next(servers)) == "transaction"  # noqa: B023


def test_clients_of_a_session_pool_never_meet() -> None:
    assert pooler.mode_of(lambda: 1, lambda: 2) == "session"
