"""Which databases the commands act on: the ones the environment names, otherwise the embedded server's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from orchestration.demo.server import ensure_server
from orchestration.errors import HeadraceError
from orchestration.sessions import Session, open_session
from orchestration.settings import Settings, with_driver


def absolute_home(settings: Settings) -> Path:
    """HEADRACE_HOME as every process of it must name it, wherever it was started."""
    return settings.home.resolve()


def database_url(settings: Settings) -> str:
    """URL of the application's database, `postgresql://…`; starts the embedded server if that is the one.

    Raises:
        HeadraceError: the embedded server does not start.
    """
    if settings.database_url is not None:
        return with_driver(settings.database_url.get_secret_value(), None)
    return ensure_server(absolute_home(settings)).url("app")


def dagster_storage_url(settings: Settings) -> str:
    """URL of Dagster's own storage, with the driver that works; starts the embedded server if it is there.

    Raises:
        HeadraceError: the embedded server does not start.
    """
    if settings.dagster_pg_url is not None:
        return with_driver(settings.dagster_pg_url.get_secret_value(), "psycopg2")
    return with_driver(ensure_server(absolute_home(settings)).url("dagster"), "psycopg2")


@contextmanager
def connected(url: str) -> Iterator[Session]:
    """A connection to that database: committed at the end, rolled back on an error, then closed.

    Raises:
        HeadraceError: no connection; the message bears no password.
    """
    try:
        connection = open_session(url, "headrace demo")
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        raise HeadraceError(
            f"The database does not answer ({reason}): check HEADRACE_DATABASE_URL, and that its server runs."
        ) from None
    except psycopg.ProgrammingError:
        # Its text may quote the URL, and with it the password.
        raise HeadraceError(
            "HEADRACE_DATABASE_URL is not a URL PostgreSQL understands: it looks like "
            "postgresql://user:password@host:5432/database, with special characters percent-encoded."
        ) from None
    with connection:
        yield connection
