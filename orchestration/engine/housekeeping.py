"""What keeps the log and the streams healthy: partitions ahead, expired ones dropped, dead letters tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import psycopg

from orchestration.database import connect
from orchestration.engine.stream import explain, is_passing
from orchestration.errors import HeadraceError


@dataclass(frozen=True)
class Housekeeping:
    """What one round did. postponed: partitions that could not be locked within 100 ms, to be tried in the next round."""

    added: int = 0
    dropped: int = 0
    retried: int = 0
    postponed: int = 0


async def housekeep(
    connection: psycopg.AsyncConnection, retention: timedelta, lost_after: timedelta
) -> Housekeeping:
    """One round; every statement is a transaction of its own, so that no lock outlives its partition.

    Raises:
        psycopg.Error: anything but a lock that was not to be had.
    """
    added = dropped = postponed = 0
    cursor = await connection.execute("SELECT headrace.missing_change_log_days()")
    for (day,) in await cursor.fetchall():
        try:
            answer = await connection.execute("SELECT headrace.add_change_log_partition(%s)", [day])
            row = await answer.fetchone()
            added += row is not None and row[0]
        except psycopg.errors.LockNotAvailable:
            postponed += 1
    cursor = await connection.execute("SELECT headrace.expired_change_log_days(%s)", [retention])
    for (day,) in await cursor.fetchall():
        try:
            answer = await connection.execute(
                "SELECT headrace.drop_change_log_partition(%s, %s)", [day, lost_after]
            )
            row = await answer.fetchone()
            dropped += row is not None and row[0] == "dropped"
        except psycopg.errors.LockNotAvailable:
            postponed += 1
    cursor = await connection.execute("SELECT applied + failed FROM headrace.dead_letter_retry(NULL, true)")
    row = await cursor.fetchone()
    await connection.execute("SELECT headrace.forget_old_workers()")
    return Housekeeping(added, dropped, row[0] if row else 0, postponed)


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
        raise HeadraceError(explain(error), exit_code=2) from error
    finally:
        await connection.close()
