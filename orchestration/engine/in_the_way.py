"""What keeps a catch-up from finishing when its time is up, in sentences, read on a separate connection.

Here: the queries and the sentences. Not here: when they are needed (stream.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg

from orchestration.database.connections import connect
from orchestration.database.sentences import explain
from orchestration.database.sql_files import quoted_literal
from orchestration.errors import HeadraceError

_BEHIND = """
    SELECT stream, shard, rows_behind, more_behind, seconds_behind FROM headrace.stream_lag
    WHERE rows_behind > 0 OR more_behind ORDER BY 1, 2
"""
_WRITER = "SELECT pid, seconds, gid FROM headrace.oldest_writer()"
# The holder's query is shown only if the caller may see it.
_HELD = """
    SELECT h.application_name, h.holder_pid, h.holder_gid, h.holder_name, h.holder_seconds, a.query
    FROM headrace.held_up() h LEFT JOIN pg_stat_activity a ON a.pid = h.holder_pid
"""
_REBUILDS = "SELECT stream, waiting FROM headrace.stream_rebuilds(%s) WHERE waiting > 0"

# These queries may wait for a lock too.
MOST_SECONDS = 1.0


async def what_is_in_the_way(
    database_url: str, streams: Sequence[str] | None, doing: str | None
) -> list[str]:
    """What was being done, what is left, and who holds the locks that are waited for; empty if nothing is in the way.

    Args:
        doing: the step under way, in words; empty if there is none.
    """
    said = [f"under way: {doing}"] if doing else []
    try:
        async with asyncio.timeout(MOST_SECONDS):
            connection = await connect(database_url, "headrace drain")
            try:
                await _ask(connection, list(streams) if streams is not None else None, said)
            finally:
                await connection.close()
    except HeadraceError as error:
        said.append(str(error))
    except psycopg.Error as error:
        said.append(explain(error))
    except TimeoutError:
        said.append(f"what else there is could not be read within {MOST_SECONDS:g} s")
    return said


async def _ask(connection: psycopg.AsyncConnection, streams: list[str] | None, said: list[str]) -> None:
    async def rows(statement: str, *parameters: object) -> list[tuple[object, ...]]:
        cursor = await connection.execute(statement.encode(), parameters or None)
        return list(await cursor.fetchall())

    # First, because the holders may be gone soon.
    said += [_holder(*row) for row in await rows(_HELD)]
    behind = [row for row in await rows(_BEHIND) if streams is None or row[0] in streams]
    for stream, shard, changes, more, seconds in behind:
        said.append(
            f"stream {stream} shard {shard} is {changes}{'+' if more else ''} changes, {seconds:.0f} s behind"
        )
    if behind:
        said += [_writer(*row) for row in await rows(_WRITER)]
    said += [
        f"stream {stream} has {waiting} to rebuild" for stream, waiting in await rows(_REBUILDS, streams)
    ]


def _holder(waiting: object, pid: object, gid: object, name: object, seconds: object, query: object) -> str:
    if gid is not None:
        return (
            f"prepared transaction {gid} (of {name}{_since(seconds)}) holds a lock that {waiting} waits for; "
            f"if it was forgotten: ROLLBACK PREPARED {quoted_literal(str(gid))}"
        )
    what = "" if query == "<insufficient privilege>" else " ".join(str(query or "").split())[:80]
    return f"pid {pid} ({name}{_since(seconds)}) holds a lock that {waiting} waits for" + (
        f": {what}" if what else ""
    )


def _writer(pid: object, seconds: object, gid: object) -> str:
    who = f"prepared transaction {gid}" if gid is not None else f"pid {pid}"
    return f"oldest writer: {who}{_since(seconds)}"


def _since(seconds: object) -> str:
    # Whether the owner of schema headrace may see the time depends on whose session it is.
    return f", {seconds:.0f} s" if isinstance(seconds, float) else ""
