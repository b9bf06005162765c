"""Workers when the server dies, and when they get signals: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest

from orchestration.demo.campaign_stats.load import create_schema, load
from orchestration.install.migrate import migrate
from orchestration.local.processes import wait_until_gone
from orchestration.local.server import EmbeddedServer, ensure_server, stop_server
from orchestration.settings import Settings
from tests.campaign_stats.oracle import drain, live, stored

NOON = datetime(2026, 3, 27, 12, tzinfo=UTC)
MOST_MEMORY = 150_000_000


@pytest.fixture
def own_server() -> Iterator[tuple[Path, EmbeddedServer]]:
    home = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    home.chmod(0o755)
    try:
        yield home, ensure_server(home)
    finally:
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


def _worker(database: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", "worker"],
        env={**os.environ, "HEADRACE_DATABASE_URL": database},
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
    )


def _until(what: str, holds: object, seconds: float = 60) -> None:
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def _applied(database: str) -> int:
    with psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute("SELECT sum(changes_applied) FROM headrace.stream_cursor").fetchone()
    assert row is not None
    return int(row[0])


def test_a_worker_goes_on_after_its_server_was_killed_in_mid_drain(
    own_server: tuple[Path, EmbeddedServer], settings: Settings
) -> None:
    home, server = own_server
    database = server.url("app")
    create_schema(database, "public")
    migrate(database, settings)
    with psycopg.connect(database, autocommit=True) as connection:
        load(database, "public", campaigns=2, seed=3, now=NOON, scale=0.05)
        drain(connection)
        before = _applied(database)
        # Enough work to be in the middle of when the server goes away.
        connection.execute(
            "INSERT INTO message_status_logs (whatsapp_message_id, status)"
            " SELECT whatsapp_message_id, 'read' FROM send_queue, generate_series(1, 8)"
        )
    worker = _worker(database)
    try:
        _until("the worker has begun", lambda: _applied(database) > before)
        postmaster = psutil.Process(server.pid)
        postmaster.kill()
        assert wait_until_gone([postmaster], seconds=10) == []
        ensure_server(home)
        with psycopg.connect(database, autocommit=True) as connection:
            idle = "SELECT NOT EXISTS (SELECT FROM headrace.stream_poll())"
            _until("drained", lambda: connection.execute(idle).fetchone() == (True,))
            assert stored(connection) == live(connection) != {}
        memory = psutil.Process(worker.pid).memory_info().rss
        assert memory <= MOST_MEMORY
    finally:
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=20)
    assert worker.returncode == 0
    assert b"worker tries again" in log
    assert b"worker stopped" in log


def test_sigterm_ends_a_worker_with_its_batch_committed_and_its_heartbeat_says_so(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        worker = _worker(database)
        state = "SELECT state FROM headrace.worker WHERE pid = %s"
        try:
            _until("it runs", lambda: connection.execute(state, [worker.pid]).fetchone() == ("running",))
            connection.execute("INSERT INTO campaigns (name) SELECT n::text FROM generate_series(1, 3000) n")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(timeout=20) == 0
        finally:
            worker.kill()
            worker.communicate()
        assert connection.execute(state, [worker.pid]).fetchone() == ("stopped",)
        open_transactions = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'headrace worker'"
        ).fetchone()
        assert open_transactions == (0,)
        drain(connection)
        assert connection.execute(
            "SELECT count(*) FROM headrace.campaign WHERE state = 'live'"
        ).fetchone() == (3000,)
