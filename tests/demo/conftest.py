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

import psycopg
import pytest
from psycopg import sql

from orchestration.demo.load import create_schema
from orchestration.demo.server import ensure_server, stop_server

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    """A fresh HEADRACE_HOME with a path short enough for a socket; whatever server runs in it is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    stop_server(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def demo_server() -> Iterator[str]:
    """URL of the maintenance database of an embedded server for the tests of one module."""
    folder = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield ensure_server(folder).url("postgres")
    finally:
        stop_server(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def empty_database(demo_server: str) -> Iterator[Callable[[], str]]:
    """Makes databases without any table; they are dropped when the test ends."""
    made: list[str] = []

    def make() -> str:
        name = f"demo_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(demo_server, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        made.append(name)
        return demo_server.replace("/postgres?", f"/{name}?")

    yield make
    with psycopg.connect(demo_server, autocommit=True) as admin:
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
