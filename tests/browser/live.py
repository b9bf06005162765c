"""A real `headrace up` with a small example, in a separate home; and the browser that looks at it.

Here: starting, waiting, ending. Not here: the clicks (ui.py).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from playwright.sync_api import Browser, sync_playwright

from orchestration.demo.campaign_stats.load import create_schema, load, midnight
from orchestration.install.migrate import migrate
from orchestration.local.first_materialization import Ui
from orchestration.local.server import ensure_server, stop_server
from orchestration.settings import Settings
from tests.commands import subprocess_environment

# Names of the same browser in Debian, Ubuntu, Fedora and Google's packages.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
STARTING_SECONDS = 300
ENDING_SECONDS = 60


@dataclass(frozen=True)
class Live:
    """A running `up`. ui: URL of Dagster's UI, with the token; database: URL of the application's; log: the output of `up`."""

    ui: Ui
    database: str
    log: Path

    def rows(self, statement: str, parameters: object = None) -> list[tuple[Any, ...]]:
        """Runs one statement and commits it; returns its rows."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@contextmanager
def browser(executable: str) -> Iterator[Browser]:
    """Headless, and sends nothing over the network except what a page asks for."""
    arguments = [
        *("--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=executable, args=arguments)
        try:
            yield found
        finally:
            found.close()


@contextmanager
def headrace_up(scale: float) -> Iterator[Live]:
    """`headrace up` on a free port, ready, with its first materialization done. At the end it is stopped and its home removed.

    Args:
        scale: share of two example campaigns to load; 1: 50,857 messages each.
    """
    # A short path, because a unix socket's may have only 107 bytes. The embedded server runs as a separate user.
    home = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    home.chmod(0o755)
    process: subprocess.Popen[bytes] | None = None
    try:
        server = ensure_server(home)
        database = server.url("app")
        create_schema(database, "public")
        migrate(database, Settings(home=home))
        load(database, "public", 2, 1, midnight(datetime.now(UTC)), scale=scale)
        port, log = _free_port(), home / "up.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestration.cli", "up", "--port", str(port)],
                env=subprocess_environment(HEADRACE_HOME=str(home)),
                cwd=home,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: "Materialized: " in log.read_text(), process, log)
        (token,) = re.findall(r"Dagster's UI: \S+\?token=(\w+)", log.read_text())
        yield Live(Ui(f"http://127.0.0.1:{port}", token), database, log)
    finally:
        if process is not None:
            _end(process)
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until `up` got there; if it does not, fails with what it printed."""
    deadline = time.monotonic() + STARTING_SECONDS
    while not reached():
        ended = process.poll()
        if ended is not None or time.monotonic() > deadline:
            why = f"ended with {ended}" if ended is not None else f"not ready after {STARTING_SECONDS} s"
            raise AssertionError(f"headrace up {why}:\n{log.read_text()[-5000:]}")
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
