"""`headrace up`: starts everything on one machine, and ends it. `headrace env`: the same for a plain `dagster dev`.

The children's output is under <home>/log; for the rest of the home see `home.py`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from orchestration.database.connections import connected
from orchestration.database.sentences import said
from orchestration.demo.campaign_stats.load import COLUMNS, LoadedCampaign, create_schema, load, midnight
from orchestration.demo.campaign_stats.writes import require_example
from orchestration.errors import HeadraceError
from orchestration.local.children import Child, describe_exit, end_all, end_leftovers
from orchestration.local.first_materialization import Ui, answers, materialize_first
from orchestration.local.front_door import Keys
from orchestration.local.home import (
    HOST,
    LOCATION,
    code_socket,
    drop_record,
    identity,
    is_recorded,
    make_dagster_home,
    make_key,
    read_record,
    sole_up,
    write_record,
    write_workspace,
)
from orchestration.local.processes import lives_by_id
from orchestration.local.server import EmbeddedServer, ensure_server, running_server, stop_server
from orchestration.local.signals import ENDING_SIGNALS, check_port, interruptible
from orchestration.local.target import absolute_home, dagster_storage_url, database_url
from orchestration.settings import Settings
from orchestration.terminal import say

_DEMO_CAMPAIGNS, _DEMO_SEED = 2, 1
_CODE_SERVER = "code server"
_POLL_SECONDS = 0.2
_SLOW_SECONDS = 120  # Dagster takes seconds to start; after this long people want to know where to look


@dataclass(frozen=True)
class Programs:
    """What `up` starts; tests replace it with lighter programs.

    {port} and {rate} stand for the options, {code} for the code server's socket, {workspace} for the file that names it, and
    {run} for what distinguishes this run's link. Dagster's three are those that `dagster dev` starts, behind a front door.
    """

    worker: tuple[str, ...] = (sys.executable, "-m", "orchestration.cli", "worker")
    simulator: tuple[str, ...] = (
        *(sys.executable, "-m", "orchestration.cli", "demo", "simulate"),
        *("--rate", "{rate}"),
    )
    code_server: tuple[str, ...] = (
        *(sys.executable, "-m", "dagster", "code-server", "start", "-m", LOCATION, "-s", "{code}"),
        *("--location-name", LOCATION, "--use-python-environment-entry-point", "--log-level", "warning"),
    )
    daemon: tuple[str, ...] = (sys.executable, "-m", "dagster._daemon", "run", "-w", "{workspace}")
    webserver: tuple[str, ...] = (
        *(sys.executable, "-m", "orchestration.local.webserver"),
        *("--port", "{port}", "--code", "{code}", "--run", "{run}"),
    )


def run_up(
    settings: Settings,
    *,
    port: int,
    demo: bool,
    rate: float = 0,
    programs: Programs | None = None,
    migrate: Callable[[str, Settings], object] | None = None,
    now: datetime | None = None,
) -> None:
    """Runs until SIGINT, SIGTERM or SIGHUP, then returns; call it in the main thread.

    Args:
        demo: creates the example's tables, and rows if they are empty.
        rate: events of simulated traffic a second, with `demo`; 0: none.
        now: the example's rows lead up to this day; default: today.

    Raises:
        HeadraceError: another `up` runs in this home, the port is busy, a step of the preparation failed, or
            Dagster ended. Everything that was started is ended first.
    """
    home = absolute_home(settings)
    with (
        sole_up(home, port),
        interruptible(),
        contextlib.suppress(KeyboardInterrupt),
        code_socket(home) as code,
    ):
        _Up(settings, home, port, programs or Programs(), migrate or _migrate, code).run(
            demo, rate if demo else 0, now
        )


class _Up:
    """One run of `up`, under its home's lock."""

    def __init__(
        self,
        settings: Settings,
        home: Path,
        port: int,
        programs: Programs,
        migrate: Callable[[str, Settings], object],
        code: Path,
    ) -> None:
        self.settings = settings
        self.home = home
        self.port = port
        self.code = code
        self.run_name = secrets.token_hex(8)
        self.ui = Ui(f"http://{HOST}:{port}", Keys(make_key(home), self.run_name).token)
        self.programs = programs
        self.migrate = migrate
        self.server: EmbeddedServer | None = None
        self.server_is_ours = False
        self.children: list[Child] = []
        self.ending = threading.Event()
        self.begun = time.monotonic()

    def run(self, demo: bool, rate: float, now: datetime | None) -> None:
        earlier = read_record(self.home)
        if count := end_leftovers(self.home):
            _say(f"Ended {count} processes that an earlier `headrace up` left behind.")
        check_port(self.port)
        try:
            self.start_server(earlier)
            url = database_url(self.settings)
            self.prepare_database(url, demo, now)
            self.start_children(url, rate if rate and self.can_simulate(url) else 0)
            self.supervise(url)
        finally:
            self.end()

    def start_server(self, earlier: Mapping[str, object]) -> None:
        if self.settings.database_url is not None and self.settings.dagster_pg_url is not None:
            return
        found = running_server(self.home)
        begun = time.monotonic()
        self.server_is_ours = found is None or is_recorded(earlier.get("server"), found.pid)
        self.record()  # before it runs: if we are killed in between, the next `up` knows that it is ours
        self.server = ensure_server(self.home)
        self.record()
        what = "runs already" if found is not None else f"started in {time.monotonic() - begun:.1f} s"
        _say(f"Embedded PostgreSQL under {self.home / 'postgres'}: {what}.")

    def prepare_database(self, url: str, demo: bool, now: datetime | None) -> None:
        schema = self.settings.source_schema
        if demo:
            with _timed(f"Example's tables in schema {schema}"):
                create_schema(url, schema)
        with _timed("Schema headrace"):
            self.migrate(url, self.settings)
        if demo and _is_empty(url, schema):
            begun = time.monotonic()

            def loaded(campaign: LoadedCampaign) -> None:
                seconds = time.monotonic() - begun
                _say(f"Example campaign {campaign.name}: {campaign.total:,} rows, {seconds:.1f} s in all.")

            day = midnight(now or datetime.now(UTC))
            load(url, schema, _DEMO_CAMPAIGNS, _DEMO_SEED, day, on_campaign=loaded)

    def can_simulate(self, url: str) -> bool:
        try:
            require_example(url, self.settings.source_schema)
        except HeadraceError as error:
            _say(f"No simulated traffic: {error}")
            return False
        return True

    def start_children(self, url: str, rate: float) -> None:
        dagster_home = make_dagster_home(self.home)
        environment = {
            **os.environ,
            "HEADRACE_HOME": str(self.home),
            "HEADRACE_DATABASE_URL": url,
            "DAGSTER_PG_URL": dagster_storage_url(self.settings),
            "DAGSTER_HOME": str(dagster_home),
            "DAGSTER_IS_DEV_CLI": "1",  # errors as `dagster dev` shows them
            "PYTHONUNBUFFERED": "1",  # a log is read while it is being written
        }
        logs = self.home / "log"
        programs = {
            "worker": self.programs.worker,
            _CODE_SERVER: self.programs.code_server,
            "webserver": self.programs.webserver,
            "daemon": self.programs.daemon,
        }
        if rate:
            programs["simulator"] = self.programs.simulator
        meant = {
            "{port}": str(self.port),
            "{rate}": f"{rate:g}",
            "{code}": str(self.code),
            "{workspace}": str(write_workspace(dagster_home, self.code)),
            "{run}": self.run_name,
        }
        for name, program in programs.items():
            command = [meant.get(part, part) for part in program]
            log = logs / f"{name.replace(' ', '-')}.log"
            # The code server takes half a minute to end when it is asked to.
            patient = name != _CODE_SERVER
            self.children.append(Child(name, command, environment, self.home, log, patient))
        for child in self.children:
            child.start()
            self.record()
        _say(f"Worker and Dagster are starting (logs: {logs}); Ctrl-C ends all.")
        if rate:
            _say(f"Simulated traffic: {rate:g} events a second; another --rate, or 0 for none.")

    def supervise(self, url: str) -> None:
        dagster = [child for child in self.children if child.name in ("webserver", "daemon")]
        revived = [child for child in self.children if child not in dagster]
        announced = told = False
        dagster_begun = time.monotonic()
        while True:
            for child in dagster:
                if child.exit_code() is not None:
                    raise HeadraceError(
                        f"Dagster's {child.name} ended, {describe_exit(child)} (log: {child.log})"
                    )
            for child in revived:
                if child.revive(_say):
                    self.record()
            if self.server is not None and not lives_by_id(self.server.pid):
                _say("The embedded PostgreSQL ended, it starts again.")
                self.server = ensure_server(self.home)
                self.server_is_ours = True
                self.record()
            if not announced and answers(self.ui):
                announced = True
                _say(f"Dagster's UI: {self.ui.link} (ready after {time.monotonic() - self.begun:.0f} s)")
                threading.Thread(
                    target=materialize_first,
                    args=(self.ui, url, self.settings.source_schema, _say, self.ending.wait),
                    daemon=True,
                ).start()
            if not announced and not told and time.monotonic() - dagster_begun > _SLOW_SECONDS:
                told = True
                _say(f"Dagster is still starting after {_SLOW_SECONDS} s: see {dagster[0].log}")
            time.sleep(_POLL_SECONDS)

    def end(self) -> None:
        """Ends the children, then the server if it is ours. Signals do not interrupt this; it takes a limited time."""
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self.ending.set()
        if self.children or (self.server is not None and self.server_is_ours):
            _say("Ending …")
        end_all(self.children, self.home)
        if self.server_is_ours:
            stop_server(self.home)
        elif self.server is not None:
            _say("The embedded PostgreSQL runs on, as it did before: `headrace demo stop` stops it.")
        drop_record(self.home)

    def record(self) -> None:
        """Records the processes we started, by id and start time, because ids are reused."""
        server: object = None
        if self.server_is_ours:
            server = "starting" if self.server is None else identity(self.server.pid)
        record = {
            "up": identity(os.getpid()),
            "ui": self.ui.url,
            "run": self.run_name,
            "server": server,
            "children": {child.name: identity(child.process.pid) for child in self.children if child.process},
        }
        write_record(self.home, record)


# --- steps --------------------------------------------------------------------------------------------------


def _say(message: str) -> None:
    # The terminal may be gone; everything must be ended all the same.
    with contextlib.suppress(OSError):
        say(message)


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    _say(f"{what}: ready, {time.monotonic() - begun:.1f} s.")


def _migrate(url: str, settings: Settings) -> None:
    from orchestration.install.migrate import migrate

    migrate(url, settings)


def _is_empty(url: str, source_schema: str) -> bool:
    """Whether none of the example's tables has a row: existing rows are not added to."""
    try:
        with connected(url) as connection:
            for table in COLUMNS:
                statement = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(
                    sql.Identifier(source_schema, table)
                )
                row = connection.execute(statement).fetchone()
                if row is not None and row[0]:
                    return False
    except psycopg.Error as error:
        raise HeadraceError(
            f"The example's tables cannot be read ({said(error)}): "
            "use a role that may, or start with --no-demo."
        ) from None
    return True
