"""What waits in streams, and why: lag, workers, the oldest writer, rebuilds, dead letters, changes without a partition.

Read only here, for Dagster's checks and sensor and for doctor. Not here: how much of it is too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import sqlalchemy as sa

from orchestration.database.sql_files import quoted_literal
from orchestration.database.statements import statement
from orchestration.text import age

# Workers send a heartbeat every 5 s.
WORKER_SILENT_SECONDS = 15
# Counting stops here; the database's functions stop counting changes here too.
MOST_COUNTED = 100_000
# How many dead letters and rebuilds are listed.
MOST_LISTED = 50

_LAG = "SELECT stream, shard, state, rows_behind, seconds_behind, more_behind FROM headrace.stream_lag"
_COUNTED = "SELECT stream, shard, rows_behind, more_behind FROM headrace.changes_behind(%(most)s)"
_WRITER = "SELECT pid, role_name, application_name, seconds, gid FROM headrace.oldest_writer()"
_REGISTERED = "SELECT EXISTS (SELECT FROM headrace.stream_cursor WHERE stream = %(stream)s)"
_STRAY = "SELECT day, changes, sources, more FROM headrace.stray_changes()"


@dataclass(frozen=True)
class Shard:
    """A shard of a stream.

    Attributes:
        state: active, lost, or mismatch (its position belongs to another cluster, or lies in the future).
        rows_behind: committed changes not yet applied; more_behind: there are more than were counted.
        seconds_behind: age of the oldest of them.
    """

    stream: str
    shard: int
    state: str
    rows_behind: int
    seconds_behind: float
    more_behind: bool = False


@dataclass(frozen=True)
class Writer:
    """A transaction that writes.

    seconds: since it began; None where the owner of schema headrace may not see it. gid: of a prepared transaction; it has no pid.
    """

    pid: int | None
    role: str
    application: str
    seconds: float | None
    gid: str | None = None

    def __str__(self) -> str:
        since = "for an unknown time" if self.seconds is None else f"for {age(self.seconds)}"
        if self.gid is not None:
            return (
                f"prepared transaction {self.gid} (role {self.role}) has been waiting {since} to be committed "
                f"(forgotten? ROLLBACK PREPARED {quoted_literal(self.gid)})"
            )
        return f"pid {self.pid} ({self.application or 'without a name'}, role {self.role}) has been writing {since}"


@dataclass(frozen=True)
class FailedRebuild:
    """An item that could not be recomputed. item: as the stream names it, such as a campaign's id."""

    item: str
    tries: int
    next_try: datetime | None
    error: str


@dataclass(frozen=True)
class Rebuilds:
    """The rebuilds of a stream, as its domain reports them: those that are due, and those that fail.

    waiting_seconds: how long the oldest has waited. failed: the first ones, at most MOST_LISTED; all_failed: their full number.
    """

    waiting: int = 0
    waiting_seconds: float = 0.0
    failed: tuple[FailedRebuild, ...] = ()
    all_failed: int = 0


@dataclass(frozen=True)
class Letter:
    """A change that could not be applied. status: failed, or waiting behind another change of the same row."""

    id: int
    source: str
    operation: str
    entity: str | None
    status: str
    attempts: int
    since: datetime
    next_try: datetime | None
    error: str


@dataclass(frozen=True)
class Letters:
    """Dead letters of a stream. first: the oldest, at most MOST_LISTED. all: counted up to MOST_COUNTED; waiting: how many of them wait."""

    first: tuple[Letter, ...] = ()
    all: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class StrayDay:
    """One UTC day's changes in the log's DEFAULT partition, and their tables. more: there are others, uncounted."""

    day: date
    changes: int
    sources: Sequence[str]
    more: bool = False


def is_registered(connection: sa.Connection, stream: str) -> bool:
    """Whether the stream's domain is active here."""
    return bool(connection.exec_driver_sql(_REGISTERED, {"stream": stream}).scalar_one())


def read_shards(
    connection: sa.Connection, streams: Sequence[str] | None = None, most_rows: int = 0
) -> list[Shard]:
    """How far each shard of these streams is, by stream and shard; None: all streams. An unregistered stream has no shards.

    Args:
        most_rows: count changes at least up to this number.
    """
    shards = sorted(
        (Shard(*row) for row in connection.exec_driver_sql(_LAG) if streams is None or row.stream in streams),
        key=lambda shard: (shard.stream, shard.shard),
    )
    if not any(shard.more_behind and shard.rows_behind < most_rows for shard in shards):
        return shards
    counted = {
        (row.stream, row.shard): row for row in connection.exec_driver_sql(_COUNTED, {"most": most_rows})
    }
    return [
        replace(shard, rows_behind=row.rows_behind, more_behind=row.more_behind)
        for shard in shards
        if (row := counted.get((shard.stream, shard.shard))) is not None
    ]


def read_writer(connection: sa.Connection) -> Writer | None:
    """The transaction that has been writing longest in this database; None if there is none."""
    row = connection.exec_driver_sql(_WRITER).first()
    return None if row is None else Writer(*row)


def count_workers(connection: sa.Connection, stream: str | None = None) -> int:
    """The number of workers with a recent heartbeat. stream: only those that serve it."""
    parameters = {"silent": WORKER_SILENT_SECONDS, "stream": stream}
    return int(connection.exec_driver_sql(statement("engine", "workers"), parameters).scalar_one())


def read_letters(connection: sa.Connection, stream: str) -> Letters:
    """The dead letters of a stream, the oldest first."""
    parameters = {"stream": stream, "most": MOST_LISTED, "most_counted": MOST_COUNTED}
    counted = connection.exec_driver_sql(statement("engine", "letters_counted"), parameters).one()
    if not counted.all:
        return Letters()
    rows = connection.exec_driver_sql(statement("engine", "letters"), parameters)
    return Letters(tuple(Letter(*row) for row in rows), *counted)


def read_stray_days(connection: sa.Connection) -> list[StrayDay]:
    """What the change log's DEFAULT partition holds, by day."""
    return [StrayDay(*row) for row in connection.exec_driver_sql(_STRAY)]
