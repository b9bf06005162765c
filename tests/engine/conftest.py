"""Roles that are nobody special, for tests of rights."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from orchestration.rights import read_roles_statement
from tests.engine.sessions import as_role


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
