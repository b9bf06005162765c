"""Sessions: every connection of ours is opened here, and set up before anything else is sent on it.

A role, a database, a client's environment or a pooler's earlier client may have changed settings. That must not change what
our statements mean (search_path), how values come back (DateStyle and the like), or how long work may take. Here: our
settings, and how they reach a session that is ours, or one that a pooler lends us for a transaction. Not here: queries.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from orchestration.settings import with_driver

CONNECT_TIMEOUT_SECONDS = 10
# How long the server keeps a transaction of ours, with its locks, after it last heard from us. Between two statements we
# take milliseconds. Code that computes for longer, and holds nothing that others wait for, sets its own limit
# (`transactions.snapshot`).
SILENT_IN_TRANSACTION_SECONDS = 10

SETTINGS: Mapping[str, str] = {
    # What names and operators mean: objects that others created are never found, not even those that were there before ours.
    "search_path": "pg_catalog, pg_temp",
    # What literals mean, and how values and names come back.
    "standard_conforming_strings": "on",
    "escape_string_warning": "off",
    "backslash_quote": "safe_encoding",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "client_min_messages": "warning",
    # How transactions behave. Locks come first and reads after them, each statement with its own snapshot. Whether
    # transactions may write is the host's decision: default_transaction_read_only is left as it is.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "exit_on_error": "off",
    # How long things may take: work that needs a limit sets its own.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": f"{SILENT_IN_TRANSACTION_SECONDS}s",
    # No plans that take longer to make than to run.
    "jit": "off",
    "plan_cache_mode": "auto",
}
# Settings that not every server has.
_WHERE_THERE: Mapping[str, str] = {"transaction_timeout": "0", "restrict_nonsystem_relation_kind": ""}
# Only where the session is ours: they concern the server's end of the line, which behind a pooler serves others too.
_OF_THE_LINE: Mapping[str, str] = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25s",
}
# The same for our end, unless the URL says otherwise. A dead peer is noticed within half a minute.
_LINE = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}

# The database's own statement_timeout may be so short that the set-up itself hits it.
_ATTEMPTS = 10


def setting_up(settings: Mapping[str, str], local: str) -> bytes:
    """One statement that makes all these settings; its first value is the server process's id.

    Names are qualified, types exact, and there are no operators: whatever the search_path, no code of others runs.

    Args:
        local: an SQL expression for whether the settings end with the transaction.
    """
    calls = [f"pg_catalog.set_config('{name}', '{value}', {local})" for name, value in settings.items()]
    calls += [
        f"CASE WHEN pg_catalog.current_setting('{name}', true) IS NOT NULL"
        f" THEN pg_catalog.set_config('{name}', '{value}', {local}) END"
        for name, value in _WHERE_THERE.items()
    ]
    return f"SELECT pg_catalog.pg_backend_pid(), {', '.join(calls)}".encode()


def connection_parameters(database_url: str, application_name: str) -> dict[str, Any]:
    """The URL as libpq's parameters, plus ours. Its `options` are kept: what only they set, such as a role, stays in force.

    Raises:
        psycopg.ProgrammingError: the URL is invalid.
    """
    return {
        **_LINE,
        **conninfo_to_dict(with_driver(database_url, None)),
        # As a startup parameter, which poolers know: the server's message about a refused login is text too.
        "client_encoding": "UTF8",
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": application_name,
    }


class Session(psycopg.Connection[Any]):
    """A connection of ours. transactional: settings to repeat in each transaction; empty where the session is ours."""

    transactional = b""

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        outermost = self.info.transaction_status == TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if outermost and self.transactional:
                psycopg.Cursor(self).execute(self.transactional)
            yield transaction


class _Cursor(psycopg.Cursor[Any]):
    """A cursor of a lent session: sets up each transaction before its first statement."""

    @contextmanager
    def _set_up(self) -> Iterator[None]:
        connection = self.connection
        assert isinstance(connection, Session)
        if connection.info.transaction_status != TransactionStatus.IDLE:
            yield
        elif connection.autocommit:
            with connection.transaction():
                yield
        else:
            super().execute(connection.transactional)
            yield

    def execute(self, *arguments: Any, **named: Any) -> Self:
        with self._set_up():
            return super().execute(*arguments, **named)

    def executemany(self, *arguments: Any, **named: Any) -> None:
        with self._set_up():
            super().executemany(*arguments, **named)

    @contextmanager
    def copy(self, *arguments: Any, **named: Any) -> Iterator[psycopg.Copy]:
        with self._set_up(), super().copy(*arguments, **named) as copy:
            yield copy


class AsyncSession(psycopg.AsyncConnection[Any]):
    """`Session`, for the worker's loops. waiting_since: when waiting for the current answer began (time.monotonic), or None."""

    transactional = b""
    waiting_since: float | None = None

    async def wait(self, *arguments: Any, **named: Any) -> Any:
        self.waiting_since = time.monotonic()
        try:
            return await super().wait(*arguments, **named)
        finally:
            self.waiting_since = None

    def cut(self) -> None:
        """Cuts the line from this end: whatever waits for an answer gets an error."""
        with socket.socket(fileno=os.dup(self.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    @asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncIterator[psycopg.AsyncTransaction]:
        outermost = self.info.transaction_status == TransactionStatus.IDLE
        async with super().transaction(savepoint_name, force_rollback) as transaction:
            if outermost and self.transactional:
                await psycopg.AsyncCursor(self).execute(self.transactional)
            yield transaction


class _AsyncCursor(psycopg.AsyncCursor[Any]):
    """`_Cursor`, for async sessions, which are in autocommit mode."""

    async def execute(self, *arguments: Any, **named: Any) -> Self:
        connection = self.connection
        if connection.info.transaction_status != TransactionStatus.IDLE:
            return await super().execute(*arguments, **named)
        async with connection.transaction():
            return await super().execute(*arguments, **named)


def open_bare(database_url: str, application_name: str = "headrace") -> psycopg.Connection[Any]:
    """A connection on which nothing has been sent yet, for looking at what answers. Send only qualified names on it.

    Raises:
        psycopg.Error: as `open_session`.
    """
    return psycopg.connect(
        **connection_parameters(database_url, application_name), prepare_threshold=None, autocommit=True
    )


def open_session(database_url: str, application_name: str = "headrace") -> Session:
    """A connection, set up, without prepared statements, so that it also works behind a transaction pooler.

    libpq parses the URL, so several hosts or an invalid port mean what they mean to every other client.

    Raises:
        psycopg.ProgrammingError: the URL is invalid; the message may quote it.
        psycopg.Error: the server does not answer, or refuses us.
    """
    session = Session.connect(
        **connection_parameters(database_url, application_name), prepare_threshold=None, autocommit=True
    )
    try:
        for left in reversed(range(_ATTEMPTS)):
            try:
                row = session.execute(_first_statement(session)).fetchone()
                break
            except psycopg.errors.QueryCanceled:
                if not left:
                    raise
        if _is_lent(session, row):
            session.transactional = setting_up(SETTINGS, "true")
            session.cursor_factory = _Cursor
        session.autocommit = False
    except BaseException:
        session.close()
        raise
    return session


async def open_async_session(database_url: str, application_name: str = "headrace") -> AsyncSession:
    """`open_session`, in autocommit mode: transactions are opened explicitly, where they are needed.

    Raises:
        psycopg.Error: as `open_session`.
    """
    session = await AsyncSession.connect(
        **connection_parameters(database_url, application_name), prepare_threshold=None, autocommit=True
    )
    try:
        for left in reversed(range(_ATTEMPTS)):
            try:
                row = await (await session.execute(_first_statement(session))).fetchone()
                break
            except psycopg.errors.QueryCanceled:
                if not left:
                    raise
        if _is_lent(session, row):
            session.transactional = setting_up(SETTINGS, "true")
            session.cursor_factory = _AsyncCursor
        # A transaction of a lent session begins before it is set up.
        await session.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
    except BaseException:
        await session.close()
        raise
    return session


def _first_statement(session: Session | AsyncSession) -> bytes:
    """Sets up a session that is ours, and detects a lent one: its server process is not the one that the pooler named at login."""
    lent = f"pg_catalog.int4ne(pg_catalog.pg_backend_pid(), {session.info.backend_pid})"
    return setting_up({**SETTINGS, **_OF_THE_LINE}, lent)


def _is_lent(session: Session | AsyncSession, row: tuple[Any, ...] | None) -> bool:
    return row is not None and row[0] != session.info.backend_pid
