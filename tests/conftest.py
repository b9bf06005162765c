"""Real servers for tests: one embedded PostgreSQL for each process, and in it a database for each test (`databases.py`)."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from orchestration.demo.campaign_stats.load import create_schema
from orchestration.install.migrate import migrate
from orchestration.install.rights import read_roles_statement
from orchestration.local.server import ensure_server, stop_server
from orchestration.settings import Settings
from tests.commands import REPOSITORY
from tests.databases import (
    EmptiedDatabase,
    create_database,
    drop_database,
    rebase_streams,
    with_database,
)
from tests.sessions import as_role

# Another server to run the suite on: a URL of a database whose role may create databases and roles.
OTHER_SERVER = "HEADRACE_TEST_SERVER_URL"
# The server under test is thrown away with everything in it; tests that kill servers start their own.
NOTHING_TO_LOSE = ("fsync", "full_page_writes", "synchronous_commit", "autovacuum")
MEMORY_NEEDED = 8 << 30


# On the second server these run again, as far as they use a server. Other files say `pytestmark = pytest.mark.server`.
ABOUT_THE_SERVER = (
    "tests/engine/",
    "tests/concurrency/",
    "tests/database/",
    *(
        f"tests/install/test_{name}"
        for name in ("attacks", "granted", "indexes", "migrate", "relations", "rights", "uninstall")
    ),
    "tests/faults/test_dead_letters.py",
    "tests/test_databases.py",
)
# Their tests take many seconds each. Other tests say `pytest.mark.long`.
LONG = ("tests/browser/", "tests/faults/")

# How many examples a property test draws; `make examples` draws more.
hypothesis.settings.register_profile(
    "headrace",
    max_examples=int(os.environ.get("HEADRACE_TEST_EXAMPLES", "30")),
    deadline=None,  # the machine may be busy
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,  # examples share a database, and begin by emptying it
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile("headrace")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests come first, so that no process is still busy with one when the others have run out of work.

    On another server only tests that are about the server run: the embedded one has shown the rest.
    """
    for item in items:
        if item.nodeid.startswith(ABOUT_THE_SERVER):
            item.add_marker(pytest.mark.server)
        if item.nodeid.startswith(LONG):
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    if os.environ.get(OTHER_SERVER):
        about: dict[bool, list[pytest.Item]] = {True: [], False: []}
        for item in items:
            uses_it = "server_url" in getattr(item, "fixturenames", ())
            about[uses_it and item.get_closest_marker("server") is not None].append(item)
        items[:] = about[True]
        config.hook.pytest_deselected(items=about[False])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how long each folder took, summed over all processes."""
    seconds: Counter[str] = Counter()
    tests: dict[str, set[str]] = defaultdict(set)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                folder = str(Path(report.location[0]).parent)
                seconds[folder] += report.duration
                tests[folder].add(report.nodeid)
    if seconds:
        terminalreporter.section("seconds per folder")
    for folder, spent in seconds.most_common():
        terminalreporter.line(f"{spent:8.1f}s {len(tests[folder]):5} tests  {folder}")


def _roomiest() -> str:
    """Where a server to be thrown away lies best: in memory, if there is plenty. A clone takes a fifth of the time there."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_NEEDED else "/tmp"


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """URL of the maintenance database of the server under test."""
    if other := os.environ.get(OTHER_SERVER):
        yield other
        return
    # A short path: a unix socket's may have 107 bytes. Not pytest's own folder, which is private to this user.
    home = Path(tempfile.mkdtemp(prefix="hr-", dir=_roomiest()))
    home.chmod(0o755)
    try:
        url = ensure_server(home).url("postgres")
        with psycopg.connect(url, autocommit=True) as admin:
            for setting in NOTHING_TO_LOSE:
                admin.execute(f"ALTER SYSTEM SET {setting} = off")
            admin.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def templates(server_url: str, settings: Settings) -> dict[str, str]:
    """Names of template databases: `app` has the example's tables, `migrated` has Headrace on top of them."""
    names = {"app": create_database(server_url)}
    create_schema(with_database(server_url, names["app"]), "public")
    names["migrated"] = create_database(server_url, names["app"])
    migrate(with_database(server_url, names["migrated"]), settings)
    return names


@pytest.fixture
def new_database(server_url: str, templates: dict[str, str]) -> Iterator[Callable[[str | None], str]]:
    """Creates databases, empty or from a template by name; they are dropped when the test ends."""
    made: list[str] = []

    def make(template: str | None = "migrated") -> str:
        made.append(create_database(server_url, templates[template] if template else "template0"))
        url = with_database(server_url, made[-1])
        if template == "migrated":
            with psycopg.connect(url, autocommit=True) as connection:
                rebase_streams(connection)
        return url

    yield make
    for name in made:
        drop_database(server_url, name)


@pytest.fixture(scope="session")
def emptied_database(server_url: str, templates: dict[str, str]) -> Iterator[EmptiedDatabase]:
    """The database of this process, which its tests get one after the other."""
    one = EmptiedDatabase(server_url, templates["migrated"])
    yield one
    one.drop()


@pytest.fixture
def database(emptied_database: EmptiedDatabase) -> Iterator[str]:
    """URL of a database with the example application's tables and Headrace, as good as new."""
    yield emptied_database.hand_out()
    emptied_database.take_back()


@pytest.fixture
def app_database(new_database: Callable[[str | None], str]) -> str:
    """URL of a fresh database with the example application's tables only."""
    return new_database("app")


@pytest.fixture(scope="session")
def plain_role(server_url: str) -> Iterator[str]:
    """Name of a role without any rights. What a test grants it goes away with the test's database."""
    name = f"plain_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    yield name
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def migrating_role(server_url: str) -> Iterator[str]:
    """Name of a login for which a superuser has run the statement of `headrace migrate --roles`, and nothing else."""
    name = f"migrates_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        admin.execute(read_roles_statement(as_role(server_url, name)).encode())
    yield name
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def home() -> Iterator[Path]:
    """A fresh HEADRACE_HOME with a path short enough for a socket; a server that runs in it is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    stop_server(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """A HEADRACE_HOME with a cluster in it, shared by all tests that do not need a new one."""
    folder = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        ensure_server(folder)
        yield folder
    finally:
        stop_server(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def used_home(cluster: Path) -> Path:
    """The session's home with nothing but the cluster in it, whose server may be running."""
    for entry in cluster.iterdir():
        if entry.name not in ("postgres", "postgres.lock"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return cluster


@pytest.fixture
def stopped_home(used_home: Path) -> Path:
    """The same, with its server stopped."""
    stop_server(used_home)
    return used_home


@pytest.fixture
def empty_database(server_url: str) -> Iterator[Callable[[], str]]:
    """Creates databases without any tables; they are dropped when the test ends."""
    made: list[str] = []

    def make() -> str:
        made.append(create_database(server_url))
        return with_database(server_url, made[-1])

    yield make
    for name in made:
        drop_database(server_url, name)


@pytest.fixture
def example(empty_database: Callable[[], str]) -> str:
    """URL of a database with the example's tables, without rows."""
    url = empty_database()
    create_schema(url, "public")
    return url


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def child_env() -> dict[str, str]:
    """Environment for a Python that runs this clone's code, with none of Headrace's variables set."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "DAGSTER_"))
    }
    return kept | {"PYTHONPATH": str(REPOSITORY)}
