"""Whether a connection pooler stands between us and the server, and in which mode.

A pooler answers a login itself, with a process id of its own invention; a proxy and a socket pass on the server's.
In session mode a client keeps its server process until it leaves. In transaction mode it has one for a transaction,
and the next client gets it after that.
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

# Two clients by turns, by chance: whatever the order in which a pooler hands out its server processes, they meet.
_TURNS = 40
# How long a client waits for a server process before it takes the pool for full, in seconds.
_PATIENCE = 2.0


def mode(database_url: str) -> Mode | None:
    """The pooler's mode; None where none stands between.

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
    """The second client is not served: either the first keeps what there is, or the first must wait as well."""
    try:
        return "session" if _server_process(first, _PATIENCE) == pid else "transaction"
    except TimeoutError:
        return "transaction"


def mode_of(first: Callable[[], int], second: Callable[[], int], turns: int = _TURNS) -> Mode:
    """The mode of a pooler, by the server processes that two clients of it get in transactions that do not overlap."""
    seen: tuple[set[int], set[int]] = (set(), set())
    for _ in range(turns):
        client = random.randrange(2)
        seen[client].add((first, second)[client]())
        if len(seen[0]) > 1 or len(seen[1]) > 1 or seen[0] & seen[1]:
            return "transaction"
    return "session"


def note(database_url: str, command: str) -> str | None:
    """What a command that changes the installation says when it is given a pooler in transaction mode, and goes on."""
    if mode(database_url) != "transaction":
        return None
    return (
        f"note: a connection pooler in transaction mode stands between {command} and the server. It goes on, for it is "
        "a single transaction and leaves nothing in the session; if the pooler's time limits end it, nothing is "
        "changed: give it the server's own address then (HEADRACE_DATABASE_URL), or a pooler in session mode"
    )


def _server_process(connection: psycopg.Connection, patience: float | None = None) -> int:
    """The process id of the server behind a statement in a transaction of its own.

    Args:
        patience: seconds; None: no end.

    Raises:
        TimeoutError: no server process was to be had. The connection is of no use any more.
    """
    # By hand, for psycopg cancels a query that takes too long, and waits for that: no pooler answers.
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
