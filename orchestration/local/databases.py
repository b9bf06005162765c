"""The databases on the embedded server."""

from __future__ import annotations

import time

import psycopg
from psycopg import sql

from orchestration.database.sessions import open_session
from orchestration.errors import HeadraceError
from orchestration.local.cluster import START_SECONDS
from orchestration.local.place import Place
from orchestration.local.postmaster import RECOVERING, find_postmaster

DATABASES = ("app", "dagster")


def make_databases(place: Place, url: str, pid: int) -> None:
    """Creates the missing databases, once the server answers; it may have to recover first.

    Args:
        url: of database `postgres`. pid: the postmaster's process id.

    Raises:
        HeadraceError: the server ended, or it refuses connections.
    """
    begun = time.monotonic()
    while True:
        try:
            with open_session(url) as connection:
                connection.autocommit = True
                there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
                for name in DATABASES:
                    if name not in there:
                        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            return
        except psycopg.Error as error:
            patience = START_SECONDS if RECOVERING in str(error) else 30
            if time.monotonic() - begun > patience or find_postmaster(place, pid) is None:
                raise HeadraceError(
                    f"The embedded PostgreSQL (process {pid}) refuses connections: {_reason(error)}"
                ) from None
        time.sleep(0.1)


def _reason(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
