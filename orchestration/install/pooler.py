"""Whether a connection pooler stands between us and the server, and in which mode.

A pooler answers a login itself, with a process id that it made up; a proxy or a socket passes on the server's.
In session mode a client keeps its server process until it disconnects. In transaction mode it has one for each
transaction, after which another client gets it.
"""

from __future__ import annotations

import random
import select
from collections.abc import Callable
from contextlib import closing
from typing import Literal

import psycopg
from psycopg.pq import ExecStatus

from orchestration.database.sentences import cannot_connect
from orchestration.database.sessions import open_bare

Mode = Literal["session", "transaction"]

# Two clients take turns at random: in whatever order a pooler hands out its server processes, they will share one.
_TURNS = 40
# How long a client waits for a server process before it considers the pool full, in seconds.
_PATIENCE = 2.0


def mode(database_url: str) -> Mode | None:
    """The pooler's mode; None if there is no pooler.

    Raises:
        HeadraceError: the database is out of reach.
    """
    try:
        with closing(open_bare(database_url)) as first:
            pid = _server_process(first)
            if pid == first.info.backend_pid:
                return None
            try:
                with closing(open_bare(database_url)) as second:
                    return mode_of(lambda: _server_process(first), lambda: _server_process(second, _PATIENCE))
            except TimeoutError:
                return _mode_of_full_pool(first, pid)
    except psycopg.Error as error:
        raise cannot_connect(error) from None


def _mode_of_full_pool(first: psycopg.Connection, pid: int) -> Mode:
    """The second client is not served: either the first keeps its server process, or it has to wait as well."""
    try:
        return "session" if _server_process(first, _PATIENCE) == pid else "transaction"
    except TimeoutError:
        return "transaction"


def mode_of(first: Callable[[], int], second: Callable[[], int], turns: int = _TURNS) -> Mode:
    """A pooler's mode, judged by the server processes that two clients get in transactions that do not overlap."""
    seen: tuple[set[int], set[int]] = (set(), set())
    for _ in range(turns):
        client = random.randrange(2)
        seen[client].add((first, second)[client]())
        if len(seen[0]) > 1 or len(seen[1]) > 1 or seen[0] & seen[1]:
            return "transaction"
    return "session"


def note(database_url: str, command: str) -> str | None:
    """What a command that changes the installation says, before it goes on, if it meets a pooler in transaction mode."""
    if mode(database_url) != "transaction":
        return None
    return (
        f"note: a connection pooler in transaction mode stands between {command} and the server. It goes on, for it is "
        "a single transaction and leaves nothing in the session; if the pooler's time limits end it, nothing is "
        "changed: give it the server's own address then (HEADRACE_DATABASE_URL), or a pooler in session mode"
    )


def _server_process(connection: psycopg.Connection, patience: float | None = None) -> int:
    """The id of the server process that runs a statement, in its own transaction.

    Args:
        patience: seconds to wait; None: no limit.

    Raises:
        TimeoutError: no server process became available. The connection is useless from then on.
    """
    # By hand: psycopg cancels a query that takes too long and waits for the cancellation, which no pooler answers.
    server = connection.pgconn
    server.send_query(b"SELECT pg_catalog.pg_backend_pid()")
    while server.is_busy():
        if not select.select([server.socket], [], [], patience)[0]:
            raise TimeoutError
        server.consume_input()
    result = server.get_result()
    answer = result.get_value(0, 0) if result is not None and result.status == ExecStatus.TUPLES_OK else None
    if answer is None:
        raise psycopg.OperationalError(server.get_error_message())
    while server.get_result() is not None:
        pass
    return int(answer)
