"""The run: starts everything, injects the planned faults, watches, stops everything, and exits with 1 if anything is wrong.

Everything is in one temporary folder, which is always removed: a separate server, the logs of the child processes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import psutil
import psycopg

from benchmarks.soak.faults import Fault, plan
from benchmarks.soak.samples import Sample, table, take
from benchmarks.soak.verdict import Findings, find, judge
from orchestration.demo.campaign_stats.load import create_schema, load
from orchestration.engine import stream
from orchestration.errors import HeadraceError
from orchestration.install.migrate import migrate
from orchestration.local.children import Child, describe_exit, end_all
from orchestration.local.processes import wait_until_gone
from orchestration.local.server import EmbeddedServer, ensure_server, stop_server
from orchestration.local.wheel import MAJOR
from orchestration.settings import Settings

SAMPLE_SECONDS = 5.0
DRAIN_SECONDS = 300.0
STARTING_SECONDS = 30.0
ENDING_SECONDS = 20.0


@dataclass
class Run:
    """One soak run: its folder, its processes, what was seen and what went wrong."""

    home: Path
    options: argparse.Namespace
    server: EmbeddedServer
    workers: list[Child] = field(default_factory=list)
    simulator: Child | None = None
    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kills: int = 0
    down_seconds: list[float] = field(default_factory=list)
    drain_seconds: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    @property
    def url(self) -> str:
        return self.server.url("app")

    @property
    def at(self) -> float:
        return time.monotonic() - self.begun

    def children(self) -> list[Child]:
        return [*self.workers, *([self.simulator] if self.simulator else [])]

    # --- the run ------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Loads rows before Headrace is installed, so that they are counted under traffic."""
        create_schema(self.url, "public")
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        report = load(self.url, "public", self.options.campaigns, 1, today, scale=self.options.scale)
        migrate(self.url, Settings(home=self.home))
        say(f"{len(report.campaigns)} campaigns loaded, {report.total:,} rows; schema headrace is there.")

    def start(self) -> None:
        worker = (sys.executable, "-m", "orchestration.cli", "worker")
        simulator = (
            *(sys.executable, "-m", "orchestration.cli", "demo", "simulate"),
            *("--rate", f"{self.options.rate:g}", "--seed", str(self.options.seed)),
        )
        self.workers = [self._child(f"worker {number}", worker) for number in range(self.options.workers)]
        self.simulator = self._child("simulator", simulator)
        for child in self.children():
            child.start()
        self.wait_until_up()
        self.begun = time.monotonic()

    def _child(self, name: str, command: Sequence[str]) -> Child:
        environment = {
            **os.environ,
            "HEADRACE_DATABASE_URL": self.url,
            "HEADRACE_HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
        }
        return Child(name, command, environment, self.home, self.home / "log" / f"{name}.log")

    def go_on(self, faults: Sequence[Fault]) -> None:
        """Injects due faults, restarts what they broke, and watches, until time is up or a process exits unexpectedly."""
        due = list(faults)
        restarts: list[tuple[float, Child]] = []
        next_sample = next_word = SAMPLE_SECONDS
        while self.at < self.options.seconds:
            while due and due[0].at <= self.at:
                fault = due.pop(0)
                if fault.kind != "worker killed":
                    self.break_server(fault)
                elif self.workers[fault.worker] not in [child for _, child in restarts]:
                    self.kill(self.workers[fault.worker])
                    restarts.append((self.at + fault.pause, self.workers[fault.worker]))
            for when, child in list(restarts):
                if when <= self.at:
                    restarts.remove((when, child))
                    child.start()
            if self.somebody_ended([child for _, child in restarts]):
                break
            if self.at >= next_sample:
                next_sample += SAMPLE_SECONDS
                self.sample()
                if self.at >= next_word:
                    next_word += 12 * SAMPLE_SECONDS
                    self.report()
            time.sleep(0.1)
        for _, child in restarts:
            child.start()

    def kill(self, child: Child) -> None:
        if child.process is not None and child.exit_code() is None:
            child.process.kill()
            child.process.wait()
            self.kills += 1

    def wait_until_up(self) -> None:
        """Waits until new processes are up: without a server, or if stopped too early, they would exit, as they should."""
        deadline = time.monotonic() + STARTING_SECONDS
        while time.monotonic() < deadline:
            with psycopg.connect(self.url, autocommit=True) as connection:
                up = {pid for (pid,) in connection.execute("SELECT pid FROM headrace.worker")}
            starting = [
                child
                for child in self.workers
                if child.exit_code() is None and child.process and child.process.pid not in up
            ]
            assert self.simulator is not None
            speaks = self.simulator.exit_code() is not None or self.simulator.log.read_bytes()
            if not starting and speaks:
                return
            time.sleep(0.1)

    def break_server(self, fault: Fault) -> None:
        self.wait_until_up()
        begun = time.monotonic()
        if fault.kind == "server killed":
            postmaster = psutil.Process(self.server.pid)
            postmaster.kill()
            wait_until_gone([postmaster], 10)
        else:
            stop_server(self.home)
        self.server = ensure_server(self.home)
        self.down_seconds.append(time.monotonic() - begun)
        say(f"{self.at:.0f} s: {fault.kind}; it answers again after {self.down_seconds[-1]:.1f} s.")

    def somebody_ended(self, killed: Sequence[Child]) -> bool:
        ended = [child for child in self.children() if child.exit_code() is not None and child not in killed]
        self.problems += [
            f"The {child.name} ended by itself after {self.at:.0f} s ({describe_exit(child)})."
            for child in ended
        ]
        return bool(ended)

    def sample(self) -> None:
        process = self.workers[0].process
        assert process is not None
        try:
            with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
                self.samples.append(take(connection, self.at, process.pid))
        except (psycopg.OperationalError, psutil.Error) as error:
            say(f"{self.at:.0f} s: no sample ({str(error).splitlines()[0]})")

    def report(self) -> None:
        if self.samples:
            last = self.samples[-1]
            say(
                f"{last.at:.0f} s: {last.changes_applied:,} changes applied, {last.rows_behind:,} behind "
                f"({last.seconds_behind:.2f} s); {self.kills} workers killed; worker {last.memory / 1e6:.0f} MB."
            )

    # --- its end ------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Ends the traffic, waits until all changes are applied, ends the workers."""
        assert self.simulator is not None
        self.end([self.simulator])
        begun = time.monotonic()
        asyncio.run(stream.drain(self.url, timeout_seconds=DRAIN_SECONDS))
        self.drain_seconds = time.monotonic() - begun
        self.sample()
        self.wait_until_up()
        self.end(self.workers)

    def end(self, children: Sequence[Child]) -> None:
        asked = [child for child in children if child.process is not None and child.exit_code() is None]
        for child in asked:
            assert child.process is not None
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + ENDING_SECONDS
        for child in asked:
            while child.exit_code() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            if child.exit_code() != 0:
                self.problems.append(
                    f"The {child.name} did not end in order when asked to ({describe_exit(child)})."
                )

    def find(self) -> Findings:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return find(connection, self.samples)

    def figures(self, found: Findings) -> list[str]:
        """The results, as Markdown."""
        assert self.simulator is not None
        behind = sorted(sample.seconds_behind for sample in self.samples)
        said = self.simulator.log.read_text(encoding="utf-8").splitlines()
        heads = ("refused", "slowest")
        done = [line.rstrip(":") for line in said if " events in " in line or line.startswith(heads)]
        warm, end = found.memory
        bloat = "; ".join(
            f"{name} {found.sizes[name] / 1e6:.1f} ({found.compact[name] / 1e6:.1f})" for name in found.sizes
        )
        rows = [
            ("traffic", "; ".join(done)),
            (
                "broken",
                f"{self.kills} workers killed; server restarted and killed, back after "
                + " and ".join(f"{seconds:.1f} s" for seconds in self.down_seconds),
            ),
            (
                "behind, while it ran",
                f"median {statistics.median(behind):.2f} s, p95 {behind[int(len(behind) * 0.95)]:.2f} s, "
                f"most {behind[-1]:.2f} s; drained {self.drain_seconds:.1f} s after the traffic ended",
            ),
            (
                "counted again",
                f"{found.rows:,} rows of counters over {found.messages:,} messages: "
                + ", ".join(f"{len(wrong)} differences in {what}" for what, wrong in found.wrong.items()),
            ),
            ("dead letters; rows in DEFAULT", f"{found.dead_letters}; {found.default_partition}"),
            (
                "change log",
                f"{found.changes:,} changes, {found.change_log / 1e6:.0f} MB, "
                f"{found.change_log / max(found.changes, 1):.0f} bytes each, until retention drops the day",
            ),
            ("tables in MB (written anew)", bloat),
            ("a worker's memory", f"{warm / 1e6:.0f} MB after its warm-up, {end / 1e6:.0f} MB at the end"),
        ]
        return ["| what | found |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]


def say(message: str) -> None:
    print(message, flush=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end it like Ctrl-C: everything is removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def soak(options: argparse.Namespace) -> list[str]:
    """Runs once and prints the figures. Returns what was wrong, as sentences."""
    home = Path(tempfile.mkdtemp(prefix="hr-soak-", dir="/tmp"))
    home.chmod(0o755)
    run: Run | None = None
    try:
        run = Run(home, options, ensure_server(home))
        say(f"Everything is under {home}, until the end.")
        run.prepare()
        faults = plan(options.seconds, options.workers, options.seed)
        say(
            f"{options.seconds:g} s of {options.rate:g} events a second, {options.workers} workers, "
            f"{len(faults) - 2} kills of these planned, and two of the server; seed {options.seed}."
        )
        run.start()
        run.go_on(faults)
        run.settle()
        if not run.samples:
            return [*run.problems, "Nothing was seen: there is no sample."]
        found = run.find()
        for line in [*table(run.samples), "", *run.figures(found)]:
            say(line)
        return run.problems + judge(found)
    except HeadraceError as error:
        return [*(run.problems if run else []), str(error)]
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the clean-up is short and must complete
        end_all(run.children() if run else [], home)
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long traffic goes on (600)")
    parser.add_argument("--rate", type=float, default=200, help="events a second (200)")
    parser.add_argument("--workers", type=int, default=3, help="how many; all but the first are killed (3)")
    parser.add_argument("--campaigns", type=int, default=4, help="loaded before the run (4)")
    parser.add_argument("--scale", type=float, default=0.25, help="share of the full rows of each (0.25)")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of traffic and faults")
    options = parser.parse_args()
    if options.seconds < 5 or options.rate <= 0 or options.workers < 1:
        parser.error("at least 5 seconds, a rate above 0, and one worker")
    say(
        f"{datetime.now(UTC):%Y-%m-%d}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Python {platform.python_version()}, PostgreSQL {MAJOR} (embedded)."
    )
    for name in [name for name in os.environ if name.startswith(("HEADRACE_", "DAGSTER_"))]:
        del os.environ[name]  # set for other databases
    with interruptible():
        try:
            wrong = soak(options)
        except KeyboardInterrupt:
            say("Interrupted; everything was taken away.")
            sys.exit(130)
    say("")
    for sentence in wrong:
        say(f"WRONG: {sentence}")
    if wrong:
        sys.exit(1)
    say("All is well.")


if __name__ == "__main__":
    main()
