"""Real servers for tests: one embedded PostgreSQL a session, and a fresh database a test, cloned from a template."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from orchestration.demo.campaign_stats.load import create_schema
from orchestration.install.migrate import migrate
from orchestration.install.rights import read_roles_statement
from orchestration.local.server import ensure_server, stop_server
from orchestration.settings import Settings
from tests.commands import REPOSITORY
from tests.sessions import as_role

# Another server to run the suite on: a URL of a database whose role may create databases and roles.
OTHER_SERVER = "HEADRACE_TEST_SERVER_URL"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another server only what is about the server under test: the rest was seen on the embedded one."""
    if not os.environ.get(OTHER_SERVER):
        return
    about: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        about["server_url" in getattr(item, "fixturenames", ())].append(item)
    items[:] = about[True]
    config.hook.pytest_deselected(items=about[False])


def _database(server_url: str, name: str) -> str:
    scheme, rest = server_url.split("://", 1)
    authority, _, tail = rest.partition("/")
    query = tail.partition("?")[2]
    return f"{scheme}://{authority}/{name}" + (f"?{query}" if query else "")


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """URL of the maintenance database of the server under test."""
    if other := os.environ.get(OTHER_SERVER):
        yield other
        return
    # A short path: a unix socket's may have 107 bytes. Not pytest's own folder, which is private to this user.
    home = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    home.chmod(0o755)
    try:
        server = ensure_server(home)
        yield server.url("postgres")
    finally:
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def templates(server_url: str, settings: Settings) -> dict[str, str]:
    """Names of template databases: `app` has the example's tables, `migrated` Headrace on top of them."""
    suffix = uuid.uuid4().hex[:8]
    names = {"app": f"template_app_{suffix}", "migrated": f"template_migrated_{suffix}"}
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(names["app"])))
        create_schema(_database(server_url, names["app"]), "public")
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(names["migrated"]), sql.Identifier(names["app"])
            )
        )
        migrate(_database(server_url, names["migrated"]), settings)
        # Cursors name their database; a clone is told that it is the one it is.
    return names


@pytest.fixture
def new_database(server_url: str, templates: dict[str, str]) -> Iterator[Callable[[str | None], str]]:
    """Makes databases: from a template by name, or empty; they are dropped when the test ends."""
    made: list[str] = []

    def make(template: str | None = "migrated") -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        source = templates[template] if template else "template0"
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
            )
        made.append(name)
        url = _database(server_url, name)
        if template == "migrated":
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SELECT headrace.rebase_stream(stream) FROM headrace.stream")
        return url

    yield make
    with psycopg.connect(server_url, autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(new_database: Callable[[str | None], str]) -> str:
    """URL of a fresh database with the example application's tables and Headrace."""
    return new_database("migrated")


@pytest.fixture
def app_database(new_database: Callable[[str | None], str]) -> str:
    """URL of a fresh database with the example application's tables only."""
    return new_database("app")


@pytest.fixture(scope="session")
def plain_role(server_url: str) -> Iterator[str]:
    """Name of a role without rights of its own. What a test grants it goes with the test's database."""
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


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@pytest.fixture
def home() -> Iterator[Path]:
    """A fresh HEADRACE_HOME with a path short enough for a socket; whatever server runs in it is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    stop_server(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """A HEADRACE_HOME with a cluster in it, for all tests that do not need a new one."""
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
    """The session's home as somebody left it: a cluster in it, whose server may run, and nothing else."""
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
    """Makes databases without any table; they are dropped when the test ends."""
    made: list[str] = []

    def make() -> str:
        name = f"demo_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        made.append(name)
        return with_database(server_url, name)

    yield make
    with psycopg.connect(server_url, autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def example(empty_database: Callable[[], str]) -> str:
    """URL of a database with the example's tables, without rows."""
    url = empty_database()
    create_schema(url, "public")
    return url


@pytest.fixture
def free_port() -> int:
    """A port nobody listens on at this moment."""
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
