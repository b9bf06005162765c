"""Recomputes what streams have queued. A unit of work fails alone, and is put off with its error.

Here: what each error is about, and the statements. Not here: what is recomputed and in which order (SQL, the stream's
rebuild_pick, rebuild_items and rebuild_put_off), and draining changes (stream.py).

Picking and recomputing are two statements of one transaction. So we know what was being recomputed, whatever ended the
statement, and can record it in a separate transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import psycopg

from orchestration.database.sentences import said

# Longer than a campaign of ten million messages takes. Set in the transaction before its statement begins: the role's or the
# database's own statement_timeout neither stops a rebuild early nor lets one run for ever.
REBUILD_TIMEOUT_SECONDS = 1800
# Items that failed together are tried one by one: how many of them before looking for other work.
MOST_ALONE = 50

# Not about the item: rights, a schema that is being replaced, a server that is read-only or shutting down.
_NOBODYS_CLASSES = frozenset({"08", "0A", "28", "3D", "3F", "42"})
_NOBODYS_CODES = frozenset({"25006", "57P01", "57P02", "57P03", "57P04", "57P05"})


@dataclass
class Suspects:
    """What is to be tried alone, by stream.

    alone: items that failed together, or whose connection was lost. lost: an item that lost its connection even when alone.
    One object per process: it outlives connections.
    """

    alone: dict[str, list[str]] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)


def is_nobodys(error: psycopg.Error) -> bool:
    """Whether an error is about the whole database or this session, not about what was being recomputed."""
    code = error.sqlstate
    if code is None:
        return True
    message = error.diag.message_primary or ""
    gone = code == "XX000" and message.startswith(
        ("could not open relation", "cache lookup failed", "tuple concurrently")
    )
    return code[:2] in _NOBODYS_CLASSES or code in _NOBODYS_CODES or gone


class Verdict(Enum):
    """What follows from an error in a transaction: everything ends, each item is tried alone, or the only item is at fault."""

    ENDS_ALL = "ends all"
    EACH_ALONE = "each alone"
    AT_FAULT = "at fault"


def verdict(error: psycopg.Error, items: Sequence[object]) -> Verdict:
    """What to do about an error while recomputing these items, in a worker from the queue or in a run by name."""
    if not items or is_nobodys(error):
        return Verdict.ENDS_ALL
    return Verdict.EACH_ALONE if len(items) > 1 else Verdict.AT_FAULT


async def rebuild_next(
    connection: psycopg.AsyncConnection,
    stream: str,
    suspects: Suspects,
    *,
    patient: bool,
    stopping: Callable[[], bool] = lambda: False,
    picked: Callable[[str, Sequence[str]], None] = lambda stream, items: None,
) -> int:
    """Recomputes what is next, each unit in one transaction; returns how many items were tried.

    picked is told the stream and the items about to be recomputed. What fails is put off with its error and does not raise.
    Items that failed together are tried one by one, in this call or the next.

    Raises:
        psycopg.Error: the connection is lost, or the error is nobody's (`is_nobodys`).
    """
    if (item := suspects.lost.pop(stream, None)) is not None:
        await _put_off(
            connection, stream, [item], "08006", "the connection was lost while it was recomputed, twice", 0.0
        )
    waiting = suspects.alone.get(stream, [])
    if not waiting:
        return await _attempt(connection, stream, suspects, None, picked, patient=patient)
    tried = 0
    while waiting and tried < MOST_ALONE and not stopping():
        tried += await _attempt(connection, stream, suspects, waiting.pop(0), picked, patient=patient)
    return tried


async def _attempt(
    connection: psycopg.AsyncConnection,
    stream: str,
    suspects: Suspects,
    alone: str | None,
    picked: Callable[[str, Sequence[str]], None],
    *,
    patient: bool,
) -> int:
    """One transaction: what the stream picks, or the one item to be tried alone."""
    items = [] if alone is None else [alone]
    began = time.monotonic()
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT set_config('statement_timeout', %s, true)", [str(REBUILD_TIMEOUT_SECONDS * 1000)]
            )
            if alone is None:
                cursor = await connection.execute(
                    "SELECT headrace.stream_rebuild_pick(%s, %s)", [stream, patient]
                )
                row = await cursor.fetchone()
                items = [] if row is None else row[0]
            if items:
                picked(stream, items)
                await connection.execute("SELECT headrace.stream_rebuild_items(%s, %s)", [stream, items])
    except psycopg.Error as error:
        if connection.closed:
            if alone is None:
                suspects.alone[stream] = items
            else:
                suspects.lost[stream] = alone
            raise
        match verdict(error, items):
            case Verdict.ENDS_ALL:
                raise
            case Verdict.EACH_ALONE:
                suspects.alone[stream] = items
            case Verdict.AT_FAULT:
                seconds = time.monotonic() - began
                await _put_off(connection, stream, items, error.sqlstate or "", said(error), seconds)
    return len(items)


async def _put_off(
    connection: psycopg.AsyncConnection,
    stream: str,
    items: list[str],
    code: str,
    problem: str,
    seconds: float,
) -> None:
    async with connection.transaction():
        await connection.execute(
            "SELECT headrace.stream_rebuild_put_off(%s, %s, %s, %s, %s)",
            [stream, items, code, problem, seconds],
        )
