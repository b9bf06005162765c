"""How much may wait in a stream: judged for any domain, in sentences that use the domain's own words for what it rebuilds.

Here: judging. Not here: reading (engine/backlog.py, engine/capture.py), and Dagster (checks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestration.dagster_kit.findings import Finding, Listing, named, short, stamp
from orchestration.engine.backlog import Letters, Rebuilds, Shard, StrayDay, Writer
from orchestration.engine.capture import Fault, problems
from orchestration.engine.stream import Work, blocked_message
from orchestration.text import age


@dataclass(frozen=True)
class LagLimits:
    """The most that is accepted. rows, seconds: behind in the stream; writer_seconds: of a transaction; rebuild_seconds: of waiting."""

    rows: int
    seconds: float
    writer_seconds: float
    rebuild_seconds: float


@dataclass(frozen=True)
class Lag:
    """How far behind the stream is. workers: how many are running and serve it."""

    shards: tuple[Shard, ...]
    writer: Writer | None = None
    workers: int = 0
    rebuilds: Rebuilds = field(default_factory=Rebuilds)


@dataclass(frozen=True)
class Rebuilt:
    """A domain's words for what its stream rebuilds. until_then: what happens meanwhile; mend: what to run if it fails."""

    one: str
    many: str
    until_then: str
    mend: str


def judge_lag(seen: Lag, stream: str, rebuilt: Rebuilt, limits: LagLimits) -> Finding:
    """Passes within the limits. What makes numbers wrong or late is severe; an old writer or a long wait is not."""
    severe: list[str] = []
    untidy: list[str] = []
    rows = sum(shard.rows_behind for shard in seen.shards)
    more = any(shard.more_behind for shard in seen.shards)
    seconds = max((shard.seconds_behind for shard in seen.shards), default=0.0)
    behind = f"stream {stream} is {rows:,}{'+' if more else ''} changes and {age(seconds)} behind"
    blocked = {shard.state for shard in seen.shards if shard.state != "active"}
    severe += [blocked_message(Work(stream, 0, state)) for state in sorted(blocked)]
    if not seen.shards:
        severe.append(f"stream {stream} is not there: headrace migrate")
    if not blocked and (rows + more > limits.rows or seconds > limits.seconds):
        severe.append(behind + ("" if seen.workers else "; no worker is running: headrace worker"))
    rebuilds = seen.rebuilds
    waiting = f"{rebuilds.waiting:,} {rebuilt.many} wait for their rebuild"
    if rebuilds.all_failed:
        failed = [f"{rebuilt.one} {i.item} ({i.error}; {i.tries} tries)" for i in rebuilds.failed]
        severe.append(
            f"{rebuilds.all_failed:,} {rebuilt.many} cannot be rebuilt: {named(failed, rebuilds.all_failed)}; "
            f"once the cause is mended: {rebuilt.mend}"
        )
    if rebuilds.waiting and rebuilds.waiting_seconds > limits.rebuild_seconds:
        untidy.append(f"{waiting}, the longest for {age(rebuilds.waiting_seconds)}; {rebuilt.until_then}")
    writer = seen.writer
    if writer is not None and (writer.seconds or 0) > limits.writer_seconds:
        untidy.append(f"{writer}; its changes come when it commits")
    told = severe + untidy
    if severe and writer is not None and (writer.seconds or 0) <= limits.writer_seconds:
        told.append(f"oldest writer: {writer}")
    listed = [(i.item, i.tries, stamp(i.next_try), i.error) for i in rebuilds.failed]
    columns = (rebuilt.one, "tries", "next_try", "error")
    return Finding(
        passed=not (severe or untidy),
        sentence=". ".join(told) if severe or untidy else f"{behind}, {waiting}",
        severe=bool(severe),
        numbers={
            "rows_behind": rows,
            "seconds_behind": round(seconds, 3),
            "oldest_writer_seconds": round(writer.seconds or 0.0, 3) if writer else 0.0,
            "workers": seen.workers,
            "rebuilds_waiting": rebuilds.waiting,
            "rebuilds_waiting_seconds": round(rebuilds.waiting_seconds, 3),
            "rebuilds_failed": rebuilds.all_failed,
        },
        listings={"failed_rebuild_table": Listing.of(columns, listed, rebuilds.all_failed)} if listed else {},
    )


def judge_letters(seen: Letters, stream: str) -> Finding:
    """Passes if there are none."""
    sentence = f"stream {stream} has no dead letters"
    if seen.all:
        oldest = seen.first[0]
        sentence = (
            f"stream {stream} has {seen.all:,} dead letters, the oldest since {stamp(oldest.since)}: "
            f"{short(f'{oldest.source} {oldest.entity}: {oldest.error}')}. "
            "Mend the cause, then: headrace dead-letters retry (see them: headrace dead-letters list)"
        )
    columns = ("id", "source", "op", "entity", "status", "attempts", "since", "next_try", "error")
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
        for i in seen.first
    ]
    return Finding(
        passed=not seen.all,
        sentence=sentence,
        severe=True,
        numbers={"dead_letters": seen.all, "waiting_behind_others": seen.waiting},
        listings={"letter_table": Listing.of(columns, rows, seen.all)} if seen.all else {},
    )


def judge_stray_days(days: Sequence[StrayDay]) -> Finding:
    """Passes if there are none. Stray changes are applied like all others, but show that no worker has run for a long time."""
    sentence = "every change is in the partition of its day"
    if days:
        sentence = (
            "the change log's DEFAULT partition holds changes of days without a partition: "
            + named([f"{item.day} ({item.changes:,})" for item in days])
            + (", and more" if any(item.more for item in days) else "")
            + ". They are counted like all others, and a running worker deletes them once they are past their retention; it makes "
            "partitions of the days to come"
        )
    rows = [(str(item.day), item.changes, ", ".join(item.sources)) for item in days]
    return Finding(
        passed=not days,
        sentence=sentence,
        severe=False,
        numbers={"changes": sum(item.changes for item in days), "days": len(days)},
        listings={"day_table": Listing.of(("day", "changes", "tables"), rows)} if days else {},
    )


def judge_capture(faults: Sequence[Fault], source: str) -> Finding:
    """Passes if the capture of this table has no fault."""
    own = [fault for fault in faults if fault.source == source]
    found = problems(own)
    by_remedy: dict[str, list[str]] = {}
    for problem in found:
        by_remedy.setdefault(problem.remedy, []).append(problem.what)
    sentence = f"triggers and functions of table {source} are as migrate made them and fit its columns and partitions"
    if found:
        sentence = ". ".join(f"{named(whats)}. To do: {remedy}" for remedy, whats in by_remedy.items())
    rows = [(problem.what, problem.remedy) for problem in found]
    return Finding(
        passed=not found,
        sentence=sentence,
        severe=True,
        numbers={"faults": len(own)},
        listings={"problem_table": Listing.of(("problem", "to_do"), rows)} if found else {},
    )
