"""`headrace up`, with programs lighter than Dagster: what it starts, what it ends, and which left-overs it finds."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest

from orchestration.demo.campaign_stats import load as load_module
from orchestration.errors import HeadraceError
from orchestration.local import up as up_module
from orchestration.local.children import Child
from orchestration.local.server import ensure_server, running_server
from orchestration.local.up import Programs, run_up
from orchestration.settings import Settings, read_settings

# A worker with a child that does not end when asked to; it records both process ids in its home.
WORKER = """
import os, pathlib, subprocess, sys, time
deaf = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('deaf', flush=True); time.sleep(99)"
)
quiet = "import time; print('quiet', flush=True); time.sleep(99)"
command = [sys.executable, "-c", deaf if os.environ.get("DEAF") else quiet]
child = subprocess.Popen(command, stdout=subprocess.PIPE)
child.stdout.readline()
home = pathlib.Path(os.environ["HEADRACE_HOME"])
(home / "env").write_text(os.environ["HEADRACE_DATABASE_URL"] + "\\n" + os.environ["DAGSTER_PG_URL"])
with (home / "workers").open("a") as log:
    log.write(f"{os.getpid()} {child.pid}\\n")
time.sleep(99)
"""

WAITS = (sys.executable, "-c", "import time; time.sleep(99)")
ENDS_AT_ONCE = (sys.executable, "-c", "")

UP = f"""
import sys
from orchestration.local.up import Programs, run_up
from orchestration.settings import read_settings
programs = Programs(
    worker=(sys.executable, "-c", {WORKER!r}),
    code_server={WAITS!r},
    daemon={WAITS!r},
    webserver=(sys.executable, "-m", "http.server", "{{port}}", "--bind", "127.0.0.1"),
)
run_up(
    read_settings(), port=int(sys.argv[1]), demo=False, programs=programs, migrate=lambda url, settings: None
)
"""


def wait_for(what: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def workers(home: Path) -> list[list[int]]:
    """For each start of the worker, its process id and its child's."""
    try:
        return [[int(pid) for pid in line.split()] for line in (home / "workers").read_text().splitlines()]
    except FileNotFoundError:
        return []


class RunningUp:
    """`up` in a separate process."""

    def __init__(self, home: Path, port: int, env: dict[str, str]) -> None:
        self.home, self.output = home, home / "output"
        before = len(workers(home))
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", UP, str(port)],
                env=env | {"HEADRACE_HOME": str(home)},
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
            )
        wait_for(lambda: "Dagster's UI" in self.said() and len(workers(home)) > before, "it came up")

    def said(self) -> str:
        return self.output.read_text()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def start_up(
    stopped_home: Path, free_port: int, child_env: dict[str, str]
) -> Iterator[Callable[[], RunningUp]]:
    started: list[RunningUp] = []

    def start() -> RunningUp:
        started.append(RunningUp(stopped_home, free_port, child_env))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.end(signal.SIGTERM)


def settings_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith(("HEADRACE_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADRACE_HOME", str(home))
    return read_settings()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_children_grandchildren_and_the_server(
    start_up: Callable[[], RunningUp],
    stopped_home: Path,
    free_port: int,
    number: int,
    child_env: dict[str, str],
) -> None:
    child_env["DEAF"] = "1"
    running = start_up()
    (worker,) = workers(stopped_home)
    server = running_server(stopped_home)
    assert server is not None
    assert (stopped_home / "env").read_text().splitlines() == [
        server.url("app"),
        server.url("dagster").replace("postgresql:", "postgresql+psycopg2:"),
    ]
    assert f"http://127.0.0.1:{free_port}" in running.said()

    assert running.end(number) == 0

    assert not any(lives(pid) for pid in worker)
    assert not lives(server.pid)
    with closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", free_port)) != 0
    assert not (stopped_home / "up.json").exists()


def test_what_kill_9_left_behind_is_ended_by_the_next_up_and_its_server_is_taken_over(
    start_up: Callable[[], RunningUp], stopped_home: Path
) -> None:
    killed = start_up()
    killed.end(signal.SIGKILL)
    (left_over,) = workers(stopped_home)
    server = running_server(stopped_home)
    assert server is not None
    assert all(lives(pid) for pid in left_over)

    running = start_up()

    assert not any(lives(pid) for pid in left_over)
    assert "an earlier `headrace up` left behind" in running.said()
    assert running_server(stopped_home) == server
    running.end(signal.SIGINT)
    assert running_server(stopped_home) is None, "it was the earlier one's, and is this one's now"


def test_a_second_up_in_the_same_home_is_told_whose_it_is(
    start_up: Callable[[], RunningUp], stopped_home: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_up()

    with pytest.raises(HeadraceError) as caught:
        run_up(settings_for(stopped_home, monkeypatch), port=free_port, demo=False)

    assert f"process {running.process.pid}" in str(caught.value)
    (link,) = re.findall(r"Dagster's UI: (\S+)", running.said())
    assert link.startswith(f"http://127.0.0.1:{free_port}/?token=")
    assert link in str(caught.value), "whoever owns the folder may have lost sight of it"
    assert link.partition("=")[2] not in (stopped_home / "up.json").read_text()
    assert running.process.poll() is None


def test_a_worker_or_a_server_that_dies_is_started_again(
    start_up: Callable[[], RunningUp], stopped_home: Path
) -> None:
    running = start_up()
    server = running_server(stopped_home)
    assert server is not None
    ((worker, child),) = workers(stopped_home)

    os.kill(worker, signal.SIGKILL)
    os.kill(server.pid, signal.SIGKILL)

    wait_for(lambda: len(workers(stopped_home)) == 2, "the worker came back")
    wait_for(lambda: running_server(stopped_home) is not None, "the server came back")
    assert not lives(child), "nothing of the dead worker is left"
    record = json.loads((stopped_home / "up.json").read_text())
    assert record["children"]["worker"]["pid"] == workers(stopped_home)[1][0]
    assert "The worker ended (by SIGKILL)" in running.said()


def test_what_other_users_of_the_machine_have_no_business_with_is_private(
    start_up: Callable[[], RunningUp], stopped_home: Path
) -> None:
    start_up()
    for folder in ("dagster", "log"):
        assert (stopped_home / folder).stat().st_mode & 0o077 == 0
    assert (stopped_home / "dagster" / "ui.key").stat().st_mode & 0o077 == 0


def test_a_code_server_that_dies_is_started_again_and_killed_at_the_end_without_being_waited_for(
    start_up: Callable[[], RunningUp], stopped_home: Path
) -> None:
    running = start_up()

    def code_server() -> int:
        record = json.loads((stopped_home / "up.json").read_text())
        return int(record["children"]["code server"]["pid"])

    first = code_server()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: code_server() != first, "it came back")
    deaf = code_server()
    os.kill(deaf, signal.SIGSTOP)

    assert running.end(signal.SIGINT) == 0

    assert not lives(deaf)


def test_a_server_that_ran_before_runs_on(start_up: Callable[[], RunningUp], stopped_home: Path) -> None:
    server = ensure_server(stopped_home)
    running = start_up()

    assert running.end(signal.SIGINT) == 0

    assert running_server(stopped_home) == server
    assert "`headrace demo stop`" in running.said()


def test_a_busy_port_is_refused_before_anything_is_started(
    home: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()

        with pytest.raises(HeadraceError, match=rf"Port {free_port} .*in use.*--port"):
            run_up(settings_for(home, monkeypatch), port=free_port, demo=True)

    assert not (home / "postgres").exists()


def test_tables_come_before_migrate_and_rows_after_it_and_only_once(
    stopped_home: Path, free_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(up_module, "load", partial(load_module.load, scale=0.01))
    settings = settings_for(stopped_home, monkeypatch)
    rows_when_migrated: list[int] = []

    def migrate(url: str, settings: Settings) -> None:
        with psycopg.connect(url) as connection:
            rows_when_migrated.append(connection.execute("SELECT count(*) FROM campaigns").fetchall()[0][0])

    ends_at_once = Programs(
        worker=ENDS_AT_ONCE,
        code_server=WAITS,
        daemon=WAITS,
        webserver=(sys.executable, "-c", "print('no webserver here'); raise SystemExit(7)"),
    )
    for _ in range(2):
        with pytest.raises(
            HeadraceError, match=r"Dagster's webserver ended, exit code 7.*no webserver here.*webserver\.log"
        ):
            run_up(
                settings,
                port=free_port,
                demo=True,
                programs=ends_at_once,
                migrate=migrate,
                now=datetime(2026, 3, 15, 12, tzinfo=UTC),
            )

    assert rows_when_migrated == [0, 2]
    assert capsys.readouterr().out.count("Example campaign") == 2


def test_no_demo_leaves_the_database_to_its_owner(
    stopped_home: Path,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    empty_database: Callable[[], str],
) -> None:
    url = empty_database()
    settings_for(stopped_home, monkeypatch)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    migrated: list[str] = []

    with pytest.raises(HeadraceError, match=r"Dagster's .* ended"):
        run_up(
            read_settings(),
            port=free_port,
            demo=False,
            programs=Programs(worker=ENDS_AT_ONCE, code_server=WAITS, daemon=ENDS_AT_ONCE, webserver=WAITS),
            migrate=lambda url, settings: migrated.append(url),
        )

    assert migrated == [url]
    with psycopg.connect(url) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall() == [(0,)]


NOTES_ITS_RATE = """
import os, pathlib, sys
with (pathlib.Path(os.environ["HEADRACE_HOME"]) / "simulators").open("a") as log:
    log.write(f"{sys.argv[1]} {os.environ['HEADRACE_DATABASE_URL']}\\n")
"""
ENDS_AFTER_TWO_SIMULATORS = """
import os, pathlib, time
log = pathlib.Path(os.environ["HEADRACE_HOME"]) / "simulators"
deadline = time.monotonic() + 30
while not (log.exists() and len(log.read_text().splitlines()) > 1) and time.monotonic() < deadline:
    time.sleep(0.05)
"""
SIMULATING = Programs(
    worker=WAITS,
    simulator=(sys.executable, "-c", NOTES_ITS_RATE, "{rate}"),
    code_server=WAITS,
    daemon=(sys.executable, "-c", ENDS_AFTER_TWO_SIMULATORS),
    webserver=WAITS,
)
NOT_SIMULATING = replace(SIMULATING, daemon=ENDS_AT_ONCE)


def test_with_the_demo_traffic_is_simulated_at_the_rate_asked_for_and_goes_on_if_it_dies(
    stopped_home: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up_module, "load", partial(load_module.load, scale=0.01))
    settings = settings_for(stopped_home, monkeypatch)

    with pytest.raises(HeadraceError, match=r"Dagster's .* ended"):
        run_up(
            settings,
            port=free_port,
            demo=True,
            rate=2.5,
            programs=SIMULATING,
            migrate=lambda url, settings: None,
        )

    started = (stopped_home / "simulators").read_text().splitlines()
    assert len(started) == 2
    assert all(line.startswith("2.5 postgresql://") for line in started)


@pytest.mark.parametrize(("demo", "rate"), [(True, 0.0), (False, 2.0)])
def test_at_rate_0_or_without_the_demo_no_traffic_is_simulated(
    stopped_home: Path,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    demo: bool,
    rate: float,
) -> None:
    monkeypatch.setattr(up_module, "load", partial(load_module.load, scale=0.01))
    settings = settings_for(stopped_home, monkeypatch)

    with pytest.raises(HeadraceError, match=r"Dagster's .* ended"):
        run_up(
            settings,
            port=free_port,
            demo=demo,
            rate=rate,
            programs=NOT_SIMULATING,
            migrate=lambda url, settings: None,
        )

    assert "traffic" not in capsys.readouterr().out


def test_tables_that_are_not_the_examples_get_no_traffic_and_up_says_why(
    stopped_home: Path,
    free_port: int,
    example: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with psycopg.connect(example) as connection:
        connection.execute("ALTER TABLE send_queue ADD COLUMN priority integer")
        connection.execute("INSERT INTO campaigns (name) VALUES ('mine')")
    settings_for(stopped_home, monkeypatch)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", example)

    with pytest.raises(HeadraceError, match=r"Dagster's .* ended"):
        run_up(
            read_settings(),
            port=free_port,
            demo=True,
            rate=2,
            programs=NOT_SIMULATING,
            migrate=lambda url, settings: None,
        )

    assert "No simulated traffic: Table send_queue" in capsys.readouterr().out
    assert not (stopped_home / "simulators").exists()


def test_a_failed_migration_ends_what_was_started(
    stopped_home: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, settings: Settings) -> None:
        raise HeadraceError("column missing")

    with pytest.raises(HeadraceError, match="column missing"):
        run_up(settings_for(stopped_home, monkeypatch), port=free_port, demo=False, migrate=refuse)

    assert running_server(stopped_home) is None


def test_a_child_that_keeps_dying_is_started_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("orchestration.local.children.time.monotonic", lambda: clock[0])
    child = Child(
        "worker", (sys.executable, "-c", "raise SystemExit(3)"), os.environ, tmp_path, tmp_path / "log"
    )
    said: list[str] = []
    child.start()
    starts = []
    for _ in range(5):
        assert child.process is not None
        child.process.wait()
        while not child.revive(said.append):
            clock[0] += 0.5
        starts.append(clock[0])

    assert starts == [1, 1 + 2, 1 + 2 + 4, 1 + 2 + 4 + 8, 1 + 2 + 4 + 8 + 16]
    assert said[0] == f"The worker ended (exit code 3), it starts again in 1 s: see {tmp_path / 'log'}"
    assert child.process is not None
    child.process.wait()
