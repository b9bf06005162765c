"""Half-open lines: the network swallows what we send, yet the connection stays open. They are found by asking the server, and cut.

The server ends such a session itself, with its locks, after `SILENT_IN_TRANSACTION_SECONDS`; then other workers go on.
Here: how the worker that waits for an answer learns that none will come. A server at work for long is not disturbed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import psycopg

from orchestration.database.connections import connect
from orchestration.database.sessions import SILENT_IN_TRANSACTION_SECONDS, AsyncSession
from orchestration.errors import HeadraceError

# How long to wait for an answer before asking the server, and how long the session must then have been idle there:
# for less, a statement or its answer may still be on its way.
PATIENCE_SECONDS = SILENT_IN_TRANSACTION_SECONDS + 2.0
_ON_ITS_WAY_SECONDS = 5.0
_LOOK_SECONDS = 2.0
_ASK_SECONDS = 20.0

_SESSION = (
    "SELECT state, extract(epoch FROM clock_timestamp() - state_change)::float8"
    " FROM pg_stat_activity WHERE pid = %s AND application_name = %s"
)


def is_cut(found: tuple[str | None, float | None] | None) -> bool:
    """Whether an answer will never come, judged by the session's state at the server and the seconds it has been in it."""
    if found is None:
        return True
    state, seconds = found
    return state is not None and state.startswith("idle") and (seconds or 0.0) > _ON_ITS_WAY_SECONDS


async def attend(
    session: AsyncSession,
    database_url: str,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Runs until cancelled: cuts the session once the server no longer works on what it waits for.

    The wait then fails with a psycopg.OperationalError, like a lost connection. Does nothing behind a pooler: there nobody can
    ask whose session it is at the moment.
    """
    while not session.transactional:
        await sleep(_LOOK_SECONDS)
        since = session.waiting_since
        if since is None or clock() - since < PATIENCE_SECONDS:
            continue
        with contextlib.suppress(psycopg.Error, HeadraceError, TimeoutError):
            found = await asyncio.wait_for(_at_the_server(session, database_url), _ASK_SECONDS)
            if is_cut(found) and session.waiting_since == since:
                import structlog  # it imports rich, which a process that only loads the definitions does without

                log = structlog.get_logger("headrace.worker")
                log.warning("no answer is on its way: the line was cut", pid=session.info.backend_pid)
                session.cut()


async def _at_the_server(watched: AsyncSession, database_url: str) -> tuple[str | None, float | None] | None:
    name = watched.info.get_parameters()["application_name"]
    connection = await connect(database_url, "headrace line")
    try:
        cursor = await connection.execute(_SESSION, [watched.info.backend_pid, name])
        row = await cursor.fetchone()
        return None if row is None else (row[0], row[1])
    finally:
        await connection.close()
