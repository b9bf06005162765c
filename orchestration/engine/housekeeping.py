"""What keeps the log and the streams healthy: partitions ahead, expired changes dropped, dead letters tried again.

Here: which statements, in which order, what is put off. Not here: what each locks and for how long (the SQL functions).
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
# What one round deletes of the DEFAULT partition at most, in portions of 10,000.
_MOST_PORTIONS = 100
# What one round tries again, in portions of a second.
_MOST_PORTIONS_OF_LETTERS = 20


@dataclass(frozen=True)
class Housekeeping:
    """What one round did.

    Attributes:
        expired: changes deleted from the DEFAULT partition, whose days have none that could be dropped.
        postponed: locks that were not to be had within 100 ms, to be tried in the next round.
    """

    added: int = 0
    dropped: int = 0
    expired: int = 0
    retried: int = 0
    postponed: int = 0


async def housekeep(
    connection: psycopg.AsyncConnection, retention: timedelta, lost_after: timedelta
) -> Housekeeping:
    """One round; every statement is a transaction of its own, so that no lock outlives its partition.

    Raises:
        psycopg.Error: anything but a lock that was not to be had.
    """
    added, not_added = await add_partitions(connection)
    dropped, not_dropped = await _drop_partitions(connection, retention, lost_after)
    expired = await _expire_changes(connection, retention, lost_after)
    retried = await _retry_letters(connection)
    await connection.execute("SELECT headrace.forget_old_workers()")
    return Housekeeping(added, dropped, expired, retried, not_added + not_dropped)


async def add_partitions(connection: psycopg.AsyncConnection) -> tuple[int, int]:
    """Makes the partitions of days to come, and today's where DEFAULT has none of its changes: (made, postponed).

    After the first lock that is not to be had the rest is put off: writers may have waited for it.
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
    """Days in order, cut where one is left out: a fence goes around days that follow each other."""
    runs: list[list[date]] = []
    for day in sorted(days):
        if runs and day - runs[-1][-1] == _ONE_DAY:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


async def _added(connection: psycopg.AsyncConnection, run: Sequence[date]) -> AsyncIterator[date]:
    """Each day of the run that got its partition, around a fence where DEFAULT is large."""
    fence = await _answer(connection, "SELECT headrace.fence_change_log_default(%s, %s)", run[0], run[-1])
    holds = fence == "small"
    if fence == "fenced":
        async with connection.transaction():
            # It reads DEFAULT as a whole, whatever limit the role carries.
            await connection.execute("SET LOCAL statement_timeout = 0")
            holds = bool(await _answer(connection, "SELECT headrace.validate_default_fence()"))
    for day in run if holds else ():
        if await _answer(connection, "SELECT headrace.add_change_log_partition(%s)", day):
            yield day
    # Where it is not reached, or not to be locked, the next round begins with it.
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
            # Writers waited for us: not again for each day that has expired.
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
    """In portions of a second, for each holds what it applies to until its end. What is left is due in the next round."""
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
    """One round on a connection of its own, for callers that do not stay.

    Raises:
        HeadraceError: the database is out of reach, not installed, or refuses the role.
    """
    connection = await connect(database_url, "headrace housekeeping")
    try:
        return await housekeep(connection, retention, lost_after)
    except psycopg.Error as error:
        if is_passing(error):
            return Housekeeping(postponed=1)  # whoever comes next does it
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
    """A round of housekeeping, for half of that time at most, then all that the streams have.

    Raises:
        HeadraceError: as `drain`.
    """
    began = time.monotonic()
    with contextlib.suppress(TimeoutError):  # whoever comes next goes on with it
        await asyncio.wait_for(
            housekeep_once(database_url, retention, lost_after),
            None if timeout_seconds is None else timeout_seconds / 2,
        )
    return await drain(
        database_url, streams, timeout_seconds=timeout_seconds, spent_seconds=time.monotonic() - began
    )


async def add_partitions_once(database_url: str) -> int:
    """Makes the partitions that can be made now, on a connection of its own; what cannot be locked is a worker's to do.

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
