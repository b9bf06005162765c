"""Sessions: every connection of ours is made here, and is set up before anything else is sent on it.

What a role, a database, a client's environment or a pooler's earlier client set must not change what our statements mean
(search_path), how values come back (DateStyle and its like), or how long work may take. Here: those settings, and how they
reach a session that is ours for long, and one that a pooler lends us for a transaction. Not here: what is asked.
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
# How long the server keeps a transaction of ours, with its locks, after the last word from us. Between two statements we
# take milliseconds; only who prepares much in between, and holds nothing that others wait for, says otherwise (`patient`).
SILENT_IN_TRANSACTION_SECONDS = 10

SETTINGS: Mapping[str, str] = {
    # What names and operators mean: what others make in a schema is not found, also by those who made it there before us.
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
    # How transactions behave. Locks are taken first and read behind then, with a snapshot for each statement. Whether
    # they may write is the host's to say: default_transaction_read_only is left as it is.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "exit_on_error": "off",
    # How long things may take: what has a limit sets its own.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": f"{SILENT_IN_TRANSACTION_SECONDS}s",
    # Plans that take longer to make than to run.
    "jit": "off",
    "plan_cache_mode": "auto",
}
# Settings that not every server has.
_WHERE_THERE: Mapping[str, str] = {"transaction_timeout": "0", "restrict_nonsystem_relation_kind": ""}
# Only where the session is ours: of the server's side of the line, which a pooler has others on.
_OF_THE_LINE: Mapping[str, str] = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25s",
}
# The same of our side, unless the URL says otherwise. A peer that is gone is noticed within half a minute.
_LINE = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}

# A limit of the database's so short that the set-up itself may meet it.
_ATTEMPTS = 10


def setting_up(settings: Mapping[str, str], local: str) -> bytes:
    """One statement that sets them all; its first value is the server process's id.

    Qualified, of exact types and without an operator: whatever the search_path, nothing that others made is run.

    Args:
        local: an expression, whether they end with the transaction.
    """
    calls = [f"pg_catalog.set_config('{name}', '{value}', {local})" for name, value in settings.items()]
    calls += [
        f"CASE WHEN pg_catalog.current_setting('{name}', true) IS NOT NULL"
        f" THEN pg_catalog.set_config('{name}', '{value}', {local}) END"
        for name, value in _WHERE_THERE.items()
    ]
    return f"SELECT pg_catalog.pg_backend_pid(), {', '.join(calls)}".encode()


def connection_parameters(database_url: str, application_name: str) -> dict[str, Any]:
    """The URL as libpq's parameters, with ours. Its `options` stay: what they set and we do not, a role, holds.

    Raises:
        psycopg.ProgrammingError: the URL is none.
    """
    return {
        **_LINE,
        **conninfo_to_dict(with_driver(database_url, None)),
        # As a startup parameter, which poolers know: what the server says about a refused login is text too.
        "client_encoding": "UTF8",
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": application_name,
    }


class Session(psycopg.Connection[Any]):
    """A connection of ours. transactional: settings to be made anew in each transaction; empty where the session is ours."""

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
    """Where each transaction has to be set up: does so before the first statement."""

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
    """`Session`, for the worker's loops. waiting_since: of the answer that is waited for, if one is; by time.monotonic."""

    transactional = b""
    waiting_since: float | None = None

    async def wait(self, *arguments: Any, **named: Any) -> Any:
        self.waiting_since = time.monotonic()
        try:
            return await super().wait(*arguments, **named)
        finally:
            self.waiting_since = None

    def cut(self) -> None:
        """Ends the line from this side: what waits for an answer gets an error."""
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
    """`_Cursor`, for connections in autocommit mode."""

    async def execute(self, *arguments: Any, **named: Any) -> Self:
        connection = self.connection
        if connection.info.transaction_status != TransactionStatus.IDLE:
            return await super().execute(*arguments, **named)
        async with connection.transaction():
            return await super().execute(*arguments, **named)


def open_bare(database_url: str, application_name: str = "headrace") -> psycopg.Connection[Any]:
    """A connection on which nothing was sent: for a look at what answers. Nothing unqualified may be sent on it.

    Raises:
        psycopg.Error: as `open_session`.
    """
    return psycopg.connect(
        **connection_parameters(database_url, application_name), prepare_threshold=None, autocommit=True
    )


def open_session(database_url: str, application_name: str = "headrace") -> Session:
    """A connection, set up, without prepared statements: it also works behind a transaction pooler.

    By libpq, which reads the URL as every other client does: several hosts, a port that is none.

    Raises:
        psycopg.ProgrammingError: the URL is none; the message may quote it.
        psycopg.Error: nobody answers, or not us.
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
    """`open_session`, in autocommit mode: transactions are opened where they are needed, by name.

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
    """Sets up a session that is ours, and shows one that is not: a pooler answers a login with an id of its own."""
    lent = f"pg_catalog.int4ne(pg_catalog.pg_backend_pid(), {session.info.backend_pid})"
    return setting_up({**SETTINGS, **_OF_THE_LINE}, lent)


def _is_lent(session: Session | AsyncSession, row: tuple[Any, ...] | None) -> bool:
    return row is not None and row[0] != session.info.backend_pid
