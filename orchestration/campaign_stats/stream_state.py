"""What stands between the application's rows and the statistics: capture, the stream's lag, rebuilds, dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa

from orchestration.campaign_stats.progress import WORKER_SILENT_SECONDS
from orchestration.campaign_stats.recompute import STREAM
from orchestration.dagster_kit.findings import MOST_ROWS, Finding, Listing, age, named, short, stamp
from orchestration.database.sql_files import quoted_literal
from orchestration.engine.capture import Fault, problems
from orchestration.engine.stream import Work, blocked_message

_LAG = """
    SELECT shard, state, rows_behind, seconds_behind, more_behind FROM headrace.stream_lag WHERE stream = %(stream)s ORDER BY shard
"""
# What the view does not count up to.
_ROWS = (
    "SELECT shard, rows_behind, more_behind FROM headrace.changes_behind(%(most)s) WHERE stream = %(stream)s"
)
_WRITER = "SELECT pid, role_name, application_name, seconds, gid FROM headrace.oldest_writer()"
_WORKERS = """
    SELECT count(*) FROM headrace.worker
    WHERE state = 'running' AND seen_at > clock_timestamp() - make_interval(secs => %(silent)s) AND streams && ARRAY[%(stream)s, '*']
"""
_REBUILDS = """
    SELECT
        count(*) FILTER (WHERE rebuild_requested_at IS NOT NULL AND rebuild_error IS NULL),
        coalesce(extract(EPOCH FROM clock_timestamp() - min(rebuild_requested_at) FILTER (WHERE rebuild_error IS NULL)), 0)::float8,
        count(*) FILTER (WHERE rebuild_error IS NOT NULL)
    FROM headrace.campaign
"""
_FAILED = """
    SELECT campaign_id, rebuild_failures, rebuild_not_before, rebuild_error FROM headrace.campaign
    WHERE rebuild_error IS NOT NULL ORDER BY rebuild_failures DESC, campaign_id LIMIT %(most)s
"""
_LETTERS = """
    SELECT
        id, (change).source, (change).op::text, left(entity_id, 200), status, attempts, first_failed_at, next_try_at,
        error_code || ' ' || left(error, 1000)
    FROM headrace.dead_letter
    WHERE id = ANY (ARRAY(SELECT id FROM headrace.dead_letter WHERE stream = %(stream)s ORDER BY first_failed_at, id LIMIT %(most)s))
    ORDER BY first_failed_at, id
"""
_LETTERS_COUNTED = """
    SELECT count(*), count(*) FILTER (WHERE status = 'waiting')
    FROM (SELECT status FROM headrace.dead_letter WHERE stream = %(stream)s LIMIT 100000) l
"""
_STRAY = "SELECT day, changes, sources, more FROM headrace.stray_changes()"


@dataclass(frozen=True)
class LagLimits:
    """Beyond what it is too much. rows, seconds: of the stream. writer_seconds: a transaction's; rebuild_seconds: a campaign's wait."""

    rows: int
    seconds: float
    writer_seconds: float
    rebuild_seconds: float


@dataclass(frozen=True)
class Shard:
    """state: active, lost, or mismatch (another cluster's, or in the future). more_behind: than were counted."""

    shard: int
    state: str
    rows_behind: int
    seconds_behind: float
    more_behind: bool = False


@dataclass(frozen=True)
class Writer:
    """A transaction that writes. seconds: since it began; None where the owner of schema headrace may not know.

    gid: of a prepared one, which has no pid.
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
    campaign: UUID
    tries: int
    next_try: datetime | None
    error: str


@dataclass(frozen=True)
class Lag:
    """How far the stream is. workers: that run; waiting: campaigns due to be rebuilt, the longest for waiting_seconds."""

    shards: tuple[Shard, ...]
    writer: Writer | None = None
    workers: int = 0
    waiting: int = 0
    waiting_seconds: float = 0.0
    failed: tuple[FailedRebuild, ...] = ()
    all_failed: int = 0


@dataclass(frozen=True)
class Letter:
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
class StrayDay:
    """Changes in the DEFAULT partition of one UTC day, and which tables they are of. more: there are others, uncounted."""

    day: date
    changes: int
    sources: Sequence[str]
    more: bool = False


def read_lag(connection: sa.Connection, most_rows: int = 0) -> Lag:
    """The state of this domain's stream, with its changes counted up to that many at least."""
    shards = [Shard(*row) for row in connection.exec_driver_sql(_LAG, {"stream": STREAM})]
    if any(shard.more_behind and shard.rows_behind < most_rows for shard in shards):
        counted = connection.exec_driver_sql(_ROWS, {"most": most_rows, "stream": STREAM})
        by_shard = {row.shard: row for row in counted}
        shards = [
            replace(shard, rows_behind=row.rows_behind, more_behind=row.more_behind)
            for shard in shards
            if (row := by_shard.get(shard.shard)) is not None
        ]
    writer = connection.exec_driver_sql(_WRITER).first()
    workers = connection.exec_driver_sql(
        _WORKERS, {"stream": STREAM, "silent": WORKER_SILENT_SECONDS}
    ).scalar_one()
    waiting, waiting_seconds, all_failed = connection.exec_driver_sql(_REBUILDS).one()
    failed = connection.exec_driver_sql(_FAILED, {"most": MOST_ROWS}) if all_failed else ()
    return Lag(
        tuple(shards),
        None if writer is None else Writer(*writer),
        workers,
        waiting,
        waiting_seconds,
        tuple(FailedRebuild(*row) for row in failed),
        all_failed,
    )


def judge_lag(seen: Lag, limits: LagLimits) -> Finding:
    """Passed within the limits. Severe is what makes numbers wrong or late; an old writer or a long wait is not."""
    severe: list[str] = []
    untidy: list[str] = []
    rows = sum(shard.rows_behind for shard in seen.shards)
    more = any(shard.more_behind for shard in seen.shards)
    counted = f"{rows:,}{'+' if more else ''}"
    seconds = max((shard.seconds_behind for shard in seen.shards), default=0.0)
    blocked = {shard.state for shard in seen.shards if shard.state != "active"}
    severe += [blocked_message(Work(STREAM, 0, state)) for state in sorted(blocked)]
    if not seen.shards:
        severe.append(f"stream {STREAM} is not there: headrace migrate")
    if not blocked and (rows + more > limits.rows or seconds > limits.seconds):
        hint = "" if seen.workers else "; no worker is running: headrace worker"
        severe.append(f"stream {STREAM} is {counted} changes and {age(seconds)} behind{hint}")
    if seen.all_failed:
        failed = [f"campaign {i.campaign} ({i.error}; {i.tries} tries)" for i in seen.failed]
        severe.append(
            f"{seen.all_failed:,} campaigns cannot be rebuilt: {named(failed, seen.all_failed)}; "
            "once the cause is mended: headrace rebuild and their ids"
        )
    if seen.waiting and seen.waiting_seconds > limits.rebuild_seconds:
        untidy.append(
            f"{seen.waiting:,} campaigns wait for their rebuild, the longest for {age(seen.waiting_seconds)}; until then "
            "they are served live or as last computed"
        )
    writer = seen.writer
    if writer is not None and (writer.seconds or 0) > limits.writer_seconds:
        untidy.append(f"{writer}; its changes come when it commits")
    told = severe + untidy
    if severe and writer is not None and (writer.seconds or 0) <= limits.writer_seconds:
        told.append(f"oldest writer: {writer}")
    passing = f"stream {STREAM} is {counted} changes and {age(seconds)} behind, {seen.waiting:,} campaigns wait for their rebuild"
    columns = {"campaign": "string", "tries": "int", "next_try": "string", "error": "string"}
    listed = [(str(i.campaign), i.tries, stamp(i.next_try), i.error) for i in seen.failed]
    return Finding(
        passed=not (severe or untidy),
        sentence=". ".join(told) if severe or untidy else passing,
        severe=bool(severe),
        numbers={
            "rows_behind": rows,
            "seconds_behind": round(seconds, 3),
            "oldest_writer_seconds": round(writer.seconds or 0.0, 3) if writer else 0.0,
            "workers": seen.workers,
            "rebuilds_waiting": seen.waiting,
            "rebuilds_waiting_seconds": round(seen.waiting_seconds, 3),
            "rebuilds_failed": seen.all_failed,
        },
        listings={"failed_rebuild_table": Listing.of(columns, listed, seen.all_failed)} if listed else {},
    )


def read_letters(connection: sa.Connection) -> tuple[list[Letter], int, int]:
    """The oldest dead letters of this domain's stream, how many there are up to 100,000, how many of these wait behind others."""
    total, waiting = connection.exec_driver_sql(_LETTERS_COUNTED, {"stream": STREAM}).one()
    rows = connection.exec_driver_sql(_LETTERS, {"stream": STREAM, "most": MOST_ROWS}) if total else ()
    return [Letter(*row) for row in rows], total, waiting


def judge_letters(letters: Sequence[Letter], total: int, waiting: int) -> Finding:
    """Passed where there are none."""
    if total:
        oldest = letters[0]
        sentence = (
            f"stream {STREAM} has {total:,} dead letters, the oldest since {stamp(oldest.since)}: "
            f"{short(f'{oldest.source} {oldest.entity}: {oldest.error}')}. "
            "Mend the cause, then: headrace dead-letters retry (see them: headrace dead-letters list)"
        )
    else:
        sentence = f"stream {STREAM} has no dead letters"
    columns = {
        "id": "int",
        "source": "string",
        "op": "string",
        "entity": "string",
        "status": "string",
        "attempts": "int",
        "since": "string",
        "next_try": "string",
        "error": "string",
    }
    rows = [
        (
            i.id,
            i.source,
            i.operation,
            i.entity,
            i.status,
            i.attempts,
            stamp(i.since),
            stamp(i.next_try),
            i.error,
        )
        for i in letters
    ]
    return Finding(
        passed=not total,
        sentence=sentence,
        severe=True,
        numbers={"dead_letters": total, "waiting_behind_others": waiting},
        listings={"letter_table": Listing.of(columns, rows, total)} if total else {},
    )


def read_stray_days(connection: sa.Connection) -> list[StrayDay]:
    """What the change log's DEFAULT partition holds, by day."""
    return [StrayDay(*row) for row in connection.exec_driver_sql(_STRAY)]


def judge_stray_days(days: Sequence[StrayDay]) -> Finding:
    """Passed where it holds nothing. They are applied like all others; that there are some says that no worker ran for long."""
    changes = sum(item.changes for item in days)
    more = any(item.more for item in days)
    sentence = (
        "the change log's DEFAULT partition holds changes of days without a partition: "
        + named([f"{item.day} ({item.changes:,})" for item in days])
        + (", and more" if more else "")
        + ". They are counted like all others, and a running worker deletes them once they are past their retention; it makes "
        "partitions of the days to come"
        if days
        else "every change is in the partition of its day"
    )
    columns = {"day": "string", "changes": "int", "tables": "string"}
    rows = [(str(item.day), item.changes, ", ".join(item.sources)) for item in days]
    return Finding(
        passed=not days,
        sentence=sentence,
        severe=False,
        numbers={"changes": changes, "days": len(days)},
        listings={"day_table": Listing.of(columns, rows)} if days else {},
    )


def judge_capture(faults: Sequence[Fault], source: str) -> Finding:
    """Passed where the capture of that table has no fault."""
    own = [fault for fault in faults if fault.source == source]
    found = problems(own)
    by_remedy: dict[str, list[str]] = {}
    for problem in found:
        by_remedy.setdefault(problem.remedy, []).append(problem.what)
    sentence = (
        ". ".join(f"{named(whats)}. To do: {remedy}" for remedy, whats in by_remedy.items())
        if found
        else f"triggers and functions of table {source} are as migrate made them and fit its columns and partitions"
    )
    columns = {"problem": "string", "to_do": "string"}
    return Finding(
        passed=not found,
        sentence=sentence,
        severe=True,
        numbers={"faults": len(own)},
        listings={"problem_table": Listing.of(columns, [(p.what, p.remedy) for p in found])} if found else {},
    )
