"""Headrace is installed on a full and busy database: migrate and a first rebuild under traffic, with a worker killed meanwhile.

Measures how long the application's statements take meanwhile. tests/faults runs the same on a small scale.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.databases import Database, Databases
from benchmarks.report import Section
from benchmarks.timing import p99
from benchmarks.traffic import Statement, Traffic, Wait

REPOSITORY = Path(__file__).parents[1]
CAMPAIGNS = 20
RATE = 200.0


@dataclass(frozen=True)
class Phase:
    """A phase of the run and the application's statements in it."""

    name: str
    seconds: float
    statements: Sequence[Statement]

    @property
    def slowest(self) -> Statement:
        return max(self.statements, key=lambda statement: statement.seconds)


@dataclass(frozen=True)
class Report:
    """What was seen. kept: campaigns rebuilt before the kill and not again; reads: seconds that campaign_stats() took."""

    phases: Sequence[Phase]
    waits: Sequence[Wait]
    campaigns: int
    rebuilt_before_kill: int
    kept: int
    reads: Sequence[float]
    sources: frozenset[str]
    differences: int
    streams: str
    doctor: str
    worker_log: str


class Workers:
    """One worker process at a time, logging to a file."""

    def __init__(self, url: str) -> None:
        self._environment = {**os.environ, "HEADRACE_DATABASE_URL": url, "COLUMNS": "200"}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed with this object
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "worker"],
            env=self._environment,
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )

    def end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None

    def command(self, *arguments: str) -> str:
        """What `headrace` prints. doctor exits with 1 if something is wrong, which is not a failure here."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.cli", *arguments],
            env=self._environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()


@contextlib.contextmanager
def _reading(url: str) -> Iterator[tuple[list[float], set[str]]]:
    """Reads campaigns' statistics continuously, as a dashboard does. Yields the seconds of each read and the sources of the answers."""
    times: list[float] = []
    sources: set[str] = set()
    stopping = threading.Event()

    def read() -> None:
        with psycopg.connect(url, autocommit=True, application_name="dashboard") as connection:
            while not stopping.wait(0.2):
                began = time.monotonic()
                row = connection.execute(
                    "SELECT headrace.campaign_stats(id) ->> 'source' FROM ("
                    "SELECT id FROM campaigns WHERE status NOT IN ('scheduled', 'failed') ORDER BY random() LIMIT 1) c"
                ).fetchone()
                times.append(time.monotonic() - began)
                if row is not None:
                    sources.add(row[0])

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield times, sources
    finally:
        stopping.set()
        thread.join()


def _until(what: str, holds: Callable[[], bool], seconds: float = 900.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.005)


def _rebuilt(connection: psycopg.Connection[Any]) -> dict[UUID, Any]:
    return dict(
        connection.execute(
            "SELECT campaign_id, rebuilt_at FROM headrace.campaign WHERE rebuilt_at IS NOT NULL"
        ).fetchall()
    )


def _kill_amid(url: str, database: Database, workers: Workers, campaigns: int) -> dict[UUID, Any]:
    """Kills the worker while it is blocked in the middle of a transaction. Returns what was rebuilt by then."""
    _until("some campaigns are rebuilt", lambda: len(_rebuilt(database.connection)) >= max(1, campaigns // 4))
    with psycopg.connect(url) as lock:
        # Only workers write there, so this blocks the worker wherever it is, but not the application.
        lock.execute("LOCK TABLE headrace.message_outcome IN SHARE MODE")
        _until(
            "the worker is held up",
            lambda: bool(
                database.value(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'headrace worker' AND wait_event_type = 'Lock'"
                )
            ),
        )
        before = _rebuilt(database.connection)
        workers.end(signal.SIGKILL)
    return before


def take_over(url: str, rate: float, quiet_seconds: float, say: Callable[[str], object]) -> Report:
    """Migrates a full database under traffic, rebuilds with a worker that is killed once, and waits until all changes are applied.

    Args:
        quiet_seconds: how long to watch the traffic before the installation, and after everything is rebuilt.
    """
    phases: list[Phase] = []
    traffic = Traffic(url, rate)
    workers = Workers(url)
    mark = time.monotonic()

    def phase(name: str) -> None:
        nonlocal mark
        now = time.monotonic()
        phases.append(Phase(name, now - mark, traffic.between(mark, now)))
        slowest = phases[-1].slowest
        say(f"{name}: {now - mark:.1f} s; slowest statement {slowest.seconds * 1000:.0f} ms ({slowest.what})")
        mark = now

    traffic.start()
    try:
        time.sleep(quiet_seconds)
        phase("before")
        said = workers.command("migrate")
        assert "queued for rebuild" in said, said
        phase("migrate")
        with psycopg.connect(url, autocommit=True) as connection, _reading(url) as (reads, sources):
            database = Database(url, connection)
            campaigns = int(database.value("SELECT count(*) FROM headrace.campaign"))
            workers.start()
            before = _kill_amid(url, database, workers, campaigns)
            streams, doctor = workers.command("streams"), workers.command("doctor")
            say(f"killed after {len(before)} of {campaigns} campaigns\n{streams}{doctor}")
            workers.start()
            _until("all are rebuilt", lambda: not database.value("SELECT headrace.rebuilds_pending()"))
            after = _rebuilt(connection)
            phase("rebuild")
            time.sleep(quiet_seconds)
            phase("after")
            traffic.stop()
            _until("all is applied", lambda: not database.column("SELECT stream FROM headrace.stream_poll()"))
            differences = database.differences()
        workers.end(signal.SIGTERM)
    finally:
        workers.end(signal.SIGKILL)
        with contextlib.suppress(BaseException):
            traffic.stop()
    return Report(
        phases=phases,
        waits=traffic.waits,
        campaigns=campaigns,
        rebuilt_before_kill=len(before),
        kept=sum(after[campaign] == at for campaign, at in before.items()),
        reads=reads,
        sources=frozenset(sources),
        differences=differences,
        streams=streams,
        doctor=doctor,
        worker_log=workers.log(),
    )


def run(databases: Databases) -> list[Section]:
    with databases.database(CAMPAIGNS, headrace=False) as database:
        queue, logs = (
            database.value(f"SELECT count(*) FROM {table}") for table in ("send_queue", "message_status_logs")
        )
        seen = take_over(
            database.url, RATE, 10.0 if databases.scale == 1 else 2.0, lambda text: print(text, flush=True)
        )
    assert seen.differences == 0, f"{seen.differences} differences from the recompute"
    assert seen.kept == seen.rebuilt_before_kill > 0
    rows = [
        (
            phase.name,
            f"{phase.seconds:.1f} s",
            f"{len(phase.statements):,}",
            f"{p99([s.seconds for s in phase.statements]) * 1000:.0f} ms",
            f"{phase.slowest.seconds * 1000:.0f} ms ({phase.slowest.what})",
            "< 1 s",
        )
        for phase in seen.phases
    ]
    worst = max(seen.waits, key=lambda wait: wait.seconds, default=None)
    waited = f"{worst.seconds * 1000:.0f} ms, behind session `{worst.behind}`" if worst else "none seen"
    return [
        Section(
            "Existing data under traffic",
            rows,
            ("phase", "took", "statements", "p99", "slowest", "goal"),
            text=f"{queue:,} queue rows and {logs:,} logs in {CAMPAIGNS} campaigns were there; then `migrate` and one worker, while "
            f"{RATE:.0f} statements a second went on. The application's longest "
            f"wait for a lock: {waited}. The worker was killed (SIGKILL) in the middle of a transaction, after "
            f"{seen.rebuilt_before_kill} of {seen.campaigns} campaigns: {seen.kept} of these were not rebuilt again. Meanwhile "
            f"`campaign_stats()` answered in {p99(seen.reads) * 1000:.0f} ms (p99; {' and '.join(sorted(seen.sources))}). In the end "
            "stored statistics and recompute were the same.",
        )
    ]
