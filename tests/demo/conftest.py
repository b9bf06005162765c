"""Homes and databases for the demo's tests."""

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

from orchestration.demo.load import create_schema
from orchestration.demo.server import ensure_server, stop_server

REPOSITORY = Path(__file__).resolve().parents[2]


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
