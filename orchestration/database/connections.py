"""Connections to the application's database: plain, as an engine without a pool, and asynchronous."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from orchestration.database.sentences import cannot_connect
from orchestration.database.sessions import AsyncSession, Session, open_async_session, open_session


def open_connection(database_url: str, application_name: str = "headrace") -> Session:
    """A connection, set up as `sessions` describes.

    Raises:
        HeadraceError: the URL is invalid; the message never quotes it.
        psycopg.OperationalError: the server does not answer.
    """
    try:
        return open_session(database_url, application_name)
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:
            raise
        raise cannot_connect(error) from None


def engine(database_url: str) -> sa.Engine:
    """An engine on `open_connection`, without a pool."""
    # Whatever the database's default is: a transaction that waited for a lock must see what its holder left.
    return sa.create_engine(
        "postgresql+psycopg://",
        poolclass=sa.NullPool,
        creator=lambda: open_connection(database_url),
        isolation_level="READ COMMITTED",
        use_native_hstore=False,  # none of our columns has that type, and every connect would look it up
    )


async def connect(database_url: str, application_name: str = "headrace") -> AsyncSession:
    """An async connection in autocommit mode: transactions are opened explicitly, where they are needed.

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
        HeadraceError: no connection could be made; the message contains no password.
    """
    try:
        connection = open_session(database_url, application_name)
    except psycopg.Error as error:
        raise cannot_connect(error) from None
    with connection:
        yield connection
