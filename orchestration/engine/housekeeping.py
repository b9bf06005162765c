"""Keeps the log and the streams healthy: partitions ahead of time, expired changes dropped, dead letters retried.

Here: which statements, in which order, and what is postponed. Not here: what each locks and for how long (the SQL functions).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import psycopg

from orchestration.database.connections import connect
from orchestration.database.sentences import as_sentence, is_passing
from orchestration.engine.stream import Drained, drain

_ONE_DAY = timedelta(days=1)
# The most that one round deletes from the DEFAULT partition, in portions of 10,000.
_MOST_PORTIONS = 100
# The most that one round retries, in portions of a second.
_MOST_PORTIONS_OF_LETTERS = 20


@dataclass(frozen=True)
class Housekeeping:
    """What one round did.

    Attributes:
        expired: changes deleted from the DEFAULT partition; their days have no partition that could be dropped.
        postponed: locks not obtained within 100 ms; the next round tries them again.
    """

    added: int = 0
    dropped: int = 0
    expired: int = 0
    retried: int = 0
    postponed: int = 0


async def housekeep(
    connection: psycopg.AsyncConnection, retention: timedelta, lost_after: timedelta
) -> Housekeeping:
    """One round; every statement is its own transaction, so that no lock is held longer than its partition needs.

    Raises:
        psycopg.Error: any error except a lock that could not be obtained.
    """
    added, not_added = await add_partitions(connection)
    dropped, not_dropped = await _drop_partitions(connection, retention, lost_after)
    expired = await _expire_changes(connection, retention, lost_after)
    retried = await _retry_letters(connection)
    await connection.execute("SELECT headrace.forget_old_workers()")
    return Housekeeping(added, dropped, expired, retried, not_added + not_dropped)


async def add_partitions(connection: psycopg.AsyncConnection) -> tuple[int, int]:
    """Creates the partitions of coming days, and today's if DEFAULT holds none of its changes: (created, postponed).

    After the first lock that cannot be obtained the rest is postponed: writers may have waited behind us.
    """
    added = 0
    try:
        await connection.execute("SELECT headrace.remove_default_fence()")
        cursor = await connection.execute("SELECT headrace.missing_change_log_days()")
        for run in runs_of_days([row[0] for row in await cursor.fetchall()]):
            async for _ in _added(connection, run):
                added += 1
    except psycopg.errors.LockNotAvailable:
        return added, 1
    return added, 0


def runs_of_days(days: Sequence[date]) -> list[list[date]]:
    """Days in order, split at gaps: a fence covers consecutive days."""
    runs: list[list[date]] = []
    for day in sorted(days):
        if runs and day - runs[-1][-1] == _ONE_DAY:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


async def _added(connection: psycopg.AsyncConnection, run: Sequence[date]) -> AsyncIterator[date]:
    """Each day of the run that got its partition; a large DEFAULT is fenced first."""
    fence = await _answer(connection, "SELECT headrace.fence_change_log_default(%s, %s)", run[0], run[-1])
    holds = fence == "small"
    if fence == "fenced":
        async with connection.transaction():
            # It scans all of DEFAULT, whatever timeout the role carries.
            await connection.execute("SET LOCAL statement_timeout = 0")
            holds = bool(await _answer(connection, "SELECT headrace.validate_default_fence()"))
    for day in run if holds else ():
        if await _answer(connection, "SELECT headrace.add_change_log_partition(%s)", day):
            yield day
    # If this is not reached, or cannot get its lock, the next round starts with it.
    await connection.execute("SELECT headrace.remove_default_fence()")


async def _answer(connection: psycopg.AsyncConnection, statement: str, *parameters: object) -> object:
    cursor = await connection.execute(statement.encode(), parameters)
    row = await cursor.fetchone()
    return row[0] if row else None


async def _drop_partitions(
    connection: psycopg.AsyncConnection, retention: timedelta, lost_after: timedelta
) -> tuple[int, int]:
    dropped = 0
    cursor = await connection.execute("SELECT headrace.expired_change_log_days(%s)", [retention])
    for (day,) in await cursor.fetchall():
        try:
            answer = await _answer(
                connection, "SELECT headrace.drop_change_log_partition(%s, %s)", day, lost_after
            )
        except psycopg.errors.LockNotAvailable:
            # Writers waited behind us: do not repeat that for each expired day.
            return dropped, 1
        dropped += answer == "dropped"
    return dropped, 0


async def _expire_changes(
    connection: psycopg.AsyncConnection, retention: timedelta, lost_after: timedelta
) -> int:
    expired = 0
    after = 0
    for _ in range(_MOST_PORTIONS):
        cursor = await connection.execute(
            "SELECT deleted, last_pos FROM headrace.expire_default_changes(%s, %s, %s)",
            [retention, lost_after, after],
        )
        row = await cursor.fetchone()
        if row is None or row[1] is None:
            break
        expired += row[0]
        after = row[1]
    return expired


async def _retry_letters(connection: psycopg.AsyncConnection) -> int:
    """In portions of a second, because each keeps its locks until it ends. What is left is due in the next round."""
    retried = 0
    rest: list[int] | None = None
    for _ in range(_MOST_PORTIONS_OF_LETTERS):
        cursor = await connection.execute(
            "SELECT applied + failed, rest FROM headrace.dead_letter_retry(%s, true)", [rest]
        )
        done, rest = (await cursor.fetchone()) or (0, None)
        retried += done
        if rest is None:
            break
    return retried


async def housekeep_once(database_url: str, retention: timedelta, lost_after: timedelta) -> Housekeeping:
    """One round on a separate connection, for callers that do not stay.

    Raises:
        HeadraceError: the database is out of reach, not installed, or refuses the role.
    """
    connection = await connect(database_url, "headrace housekeeping")
    try:
        return await housekeep(connection, retention, lost_after)
    except psycopg.Error as error:
        if is_passing(error):
            return Housekeeping(postponed=1)  # the next caller does it
        raise as_sentence(error, exit_code=2) from error
    finally:
        await connection.close()


async def catch_up(
    database_url: str,
    retention: timedelta,
    lost_after: timedelta,
    streams: Sequence[str] | None,
    timeout_seconds: float | None,
) -> Drained:
    """A round of housekeeping, for at most half of the time, then everything that the streams have.

    Raises:
        HeadraceError: as `drain`.
    """
    began = time.monotonic()
    with contextlib.suppress(TimeoutError):  # the next caller continues it
        await asyncio.wait_for(
            housekeep_once(database_url, retention, lost_after),
            None if timeout_seconds is None else timeout_seconds / 2,
        )
    return await drain(
        database_url, streams, timeout_seconds=timeout_seconds, spent_seconds=time.monotonic() - began
    )


async def add_partitions_once(database_url: str) -> int:
    """Creates the partitions that can be created now, on a separate connection. Those it cannot lock are left to a worker.

    Raises:
        HeadraceError: the database is out of reach, or refuses the role.
    """
    connection = await connect(database_url, "headrace migrate")
    try:
        return (await add_partitions(connection))[0]
    except psycopg.Error as error:
        if is_passing(error):
            return 0
        raise as_sentence(error, exit_code=2) from error
    finally:
        await connection.close()
