"""Connections to the application's database, plain, pooled by nobody, and asynchronous."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from orchestration.database.sentences import cannot_connect
from orchestration.database.sessions import AsyncSession, Session, open_async_session, open_session


def open_connection(database_url: str, application_name: str = "headrace") -> Session:
    """A connection, set up as `sessions` says.

    Raises:
        HeadraceError: the URL is none; the message never quotes it.
        psycopg.OperationalError: nobody answers.
    """
    try:
        return open_session(database_url, application_name)
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:
            raise
        raise cannot_connect(error) from None


def engine(database_url: str) -> sa.Engine:
    """A pool-less engine on `open_connection`."""
    # Whatever the database's default is: who waits for a lock has to see what its holder left.
    return sa.create_engine(
        "postgresql+psycopg://",
        poolclass=sa.NullPool,
        creator=lambda: open_connection(database_url),
        isolation_level="READ COMMITTED",
        use_native_hstore=False,  # nothing of ours has that type, and it would be looked for at each connect
    )


async def connect(database_url: str, application_name: str = "headrace") -> AsyncSession:
    """An async connection in autocommit mode: transactions are opened where they are needed, by name.

    Raises:
        HeadraceError: no connection could be made; the message never quotes the URL.
    """
    try:
        return await open_async_session(database_url, application_name)
    except psycopg.Error as error:
        raise cannot_connect(error) from None


@contextmanager
def connected(database_url: str, application_name: str = "headrace") -> Iterator[Session]:
    """A connection: committed at the end, rolled back on an error, then closed.

    Raises:
        HeadraceError: no connection; the message bears no password.
    """
    try:
        connection = open_session(database_url, application_name)
    except psycopg.Error as error:
        raise cannot_connect(error) from None
    with connection:
        yield connection
