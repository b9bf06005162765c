"""A line that swallows what is sent but stays open: the cursor and the campaigns it holds are free again within seconds.

docs/operations.md says how long that takes. The tests wait for it, and give up only much later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from orchestration.engine.line import is_cut
from orchestration.engine.stream import drain
from orchestration.install.doctor import diagnose
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree
from tests.commands import REPOSITORY
from tests.rows import a_history, insert
from tests.sessions import open_transaction, wait_until


class Line:
    """A proxy on loopback. `swallow`: the connection that sends the next COMMIT forwards nothing from then on, either way."""

    def __init__(self, database: str) -> None:
        self._server = conninfo_to_dict(database)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._armed = threading.Event()
        self.swallowed = threading.Event()
        self.url = f"postgresql://{self._server['user']}@127.0.0.1:{self._listening.getsockname()[1]}/{self._server['dbname']}"
        threading.Thread(target=self._serve, daemon=True).start()

    def swallow(self) -> None:
        self._armed.set()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        host, port = str(self._server["host"]), int(self._server.get("port") or 5432)
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if host.startswith("/"):
                behind = socket.socket(socket.AF_UNIX)
                behind.connect(f"{host}/.s.PGSQL.{port}")
            else:
                behind = socket.create_connection((host, port))
            dead = threading.Event()
            for source, target, sends in ((client, behind, True), (behind, client, False)):
                threading.Thread(
                    target=self._pass_on, args=(source, target, sends, dead), daemon=True
                ).start()

    def _pass_on(
        self, source: socket.socket, target: socket.socket, sends: bool, dead: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):  # one of the two has been closed
            while data := source.recv(65536):
                if sends and self._armed.is_set() and b"COMMIT" in data:
                    self._armed.clear()
                    dead.set()
                    self.swallowed.set()
                if not dead.is_set():
                    target.sendall(data)
            if not dead.is_set():
                target.shutdown(socket.SHUT_WR)


@pytest.fixture
def line(database: str) -> Iterator[Line]:
    proxy = Line(database)
    yield proxy
    proxy.close()


@contextmanager
def a_worker(url: str, log: Path) -> Iterator[None]:
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "worker"],
            env={**os.environ, "HEADRACE_DATABASE_URL": url},
            cwd=REPOSITORY,
            stderr=stderr,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
    assert process.returncode == 0


def test_a_worker_whose_commit_is_swallowed_holds_up_the_next_one_for_seconds_and_goes_on_itself(
    database: str, line: Line, tmp_path: Path
) -> None:
    with psycopg.connect(database, autocommit=True) as application, a_worker(line.url, tmp_path / "log"):
        campaigns = a_history(application)

        def counted() -> bool:
            row = application.execute("SELECT sum(rows_behind), count(*) FROM headrace.stream_lag").fetchone()
            waiting = application.execute(
                "SELECT count(*) FROM headrace.campaign WHERE rebuild_requested_at IS NOT NULL"
            ).fetchone()
            return row is not None and row[0] == 0 and waiting == (0,)

        wait_until(counted)
        line.swallow()
        insert(application, "send_queue", campaign_id=campaigns[0], status="sent", template_name="swallowed")
        assert line.swallowed.wait(20)
        insert(application, "send_queue", campaign_id=campaigns[0], status="sent", template_name="meanwhile")
        asyncio.run(drain(database, timeout_seconds=60))
        assert_all_agree(application)
        # The first worker learns that no answer will come, and returns to work.
        wait_until(lambda: "the line was cut" in (tmp_path / "log").read_text(), 60)
        insert(application, "send_queue", campaign_id=campaigns[1], status="sent", template_name="afterwards")
        wait_until(counted, 30)
        assert_all_agree(application)
    assert "worker tries again" in (tmp_path / "log").read_text()


def test_doctor_names_the_session_that_holds_a_stream_and_is_silent(
    database: str, settings: Settings
) -> None:
    held = "SELECT FROM headrace.stream_cursor FOR UPDATE"
    with open_transaction(
        f"{database}{'&' if '?' in database else '?'}application_name=headrace%20worker", held
    ) as session:
        pid = session.info.backend_pid
        wait_until(lambda: any(str(pid) in error.what for error in diagnose(database, settings).errors))
        (found,) = diagnose(database, settings).errors
        assert "(headrace worker, from " in found.what
        assert " holds the place of a stream and has been silent " in found.what
        assert found.remedy.startswith(f"SELECT pg_terminate_backend({pid});")
    assert diagnose(database, settings).errors == ()


@pytest.mark.parametrize(
    ("found", "cut"),
    [
        (None, True),
        (("active", 600.0), False),
        (("idle in transaction", 9.0), True),
        (("idle", 9.0), True),
        (("idle", 0.1), False),  # the answer is on its way
        (("disabled", 9.0), False),  # track_activities is off
        ((None, None), False),
    ],
)
def test_only_a_session_that_the_server_has_done_with_is_cut(
    found: tuple[str | None, float | None] | None, cut: bool
) -> None:
    assert is_cut(found) is cut
