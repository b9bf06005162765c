"""Draining streams: which batch to ask for next (pure), and the statements that ask for it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import psycopg

from orchestration.database import connect
from orchestration.engine.line import attend
from orchestration.engine.rebuilds import Suspects, rebuild_next
from orchestration.errors import HeadraceError
from orchestration.sessions import AsyncSession

FIRST_BATCH = 2_500
# In a backlog batches grow up to this: what changed several times is then looked at once.
FULL_BATCH = 20_000
# From here on down a batch is not halved again: its changes are applied one by one, the culprits put aside.
ISOLATED_BATCH = 16
STEPS_PER_POLL = 20
# How often one that polls every few milliseconds looks whether the application altered its tables.
LOOK_SECONDS = 1.0
# Kinds of work that nobody can do: blocked_message says what somebody is to do first.
BLOCKED = ("mismatch", "lost", "paused")
# Changes go first, for a rebuild then counts them all at once; but a steady stream must not starve rebuilds.
MOST_ROUNDS_WITHOUT_REBUILD = 3

# Classes that come again however often one tries; the same list as headrace.is_data_error (compared by a test).
_DATA_ERROR_CLASSES = frozenset({"21", "22", "23", "2F", "38", "39", "44", "54", "P0"})
# Of the moment: serialisation and deadlocks, resources, locks, operator intervention, lost connections.
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_PASSING_CODES = frozenset({"55P03", "25006"})
# What a statement meets whose tables or functions `migrate` or `uninstall` took away while it was planned: the next one
# finds others, or says by name what is missing. These messages are the server's internal ones, never translated.
_GONE_MEANWHILE = ("could not open relation with OID", "cache lookup failed for", "tuple concurrently ")


@dataclass(frozen=True)
class Batch:
    """How many changes to ask for, and whether to apply them one by one."""

    limit: int = FIRST_BATCH
    isolate: bool = False


@dataclass(frozen=True)
class Work:
    """What a poll found: kind is change, rebuild, altered, paused, mismatch or lost. what: which source; why it is paused."""

    stream: str
    shard: int
    kind: str
    what: str | None = None


@dataclass(frozen=True)
class Step:
    """What one transaction did. status: applied, idle (nothing there) or busy (another worker has the shard)."""

    status: str
    changes: int = 0
    dead_letters: int = 0
    more: bool = False


@dataclass(frozen=True)
class Drained:
    """Totals of a drain: changes applied or put aside, things rebuilt, dead letters made."""

    changes: int = 0
    rebuilt: int = 0
    dead_letters: int = 0


def is_data_error(sqlstate: str | None) -> bool:
    return sqlstate is not None and sqlstate[:2] in _DATA_ERROR_CLASSES and sqlstate != "P0002"


def is_passing(error: psycopg.Error) -> bool:
    """Whether trying the same again can succeed. A driver's error without a code is a lost connection."""
    code = error.sqlstate
    if code is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if code == "XX000":
        return (error.diag.message_primary or "").startswith(_GONE_MEANWHILE)
    return code[:2] in _PASSING_CLASSES or code in _PASSING_CODES


def after_data_error(batch: Batch) -> Batch:
    """Halves the batch; a small one is taken apart."""
    limit = max(1, batch.limit // 2)
    return Batch(limit, isolate=limit <= ISOLATED_BATCH)


def after_success(batch: Batch) -> Batch:
    """Doubles the batch, up to the full size."""
    return Batch(min(FULL_BATCH, batch.limit * 2))


def retry_delay(failures: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait after so many failures in a row: exponential with full jitter, at most 5."""
    return uniform(0.0, min(5.0, 0.05 * 2.0 ** min(failures, 10)))


def blocked_message(work: Work) -> str:
    if work.kind == "paused":
        return f"stream {work.stream} is paused: {work.what}"
    what = (
        "stands in another cluster or in the future: this database was restored or cloned"
        if work.kind == "mismatch"
        else "was idle for too long and lost its place in the change log"
    )
    return f"stream {work.stream} {what}; run: headrace streams rebase {work.stream}"


async def poll(
    connection: psycopg.AsyncConnection,
    streams: Sequence[str] | None,
    *,
    patient: bool = False,
    look: bool = True,
) -> list[Work]:
    """What there is to do, in one statement that locks and writes nothing.

    Args:
        patient: leaves out rebuilds that the stream would rather put off.
        look: looks whether the source tables were altered, too.
    """
    cursor = await connection.execute(
        "SELECT stream, shard, work, what FROM headrace.stream_poll(%s, %s, %s)",
        [list(streams) if streams is not None else None, patient, look],
    )
    return [Work(*row) for row in await cursor.fetchall()]


async def step(connection: psycopg.AsyncConnection, work: Work, batch: Batch) -> Step:
    """Applies one batch of a shard, or notes an altered source, in one transaction of the connection's isolation level."""
    async with connection.transaction():
        if work.kind == "altered":
            await connection.execute("SELECT headrace.note_altered_source(%s)", [work.what])
            return Step("applied")
        cursor = await connection.execute(
            "SELECT status, changes, dead_letters, more FROM headrace.stream_step(%s, %s, %s, %s)",
            [work.stream, work.shard, batch.limit, batch.isolate],
        )
        row = await cursor.fetchone()
        assert row is not None
        return Step(*row)


class Drainer:
    """Steps through whatever polls find, on one connection, remembering per shard the batch to ask for next.

    patient: for one that stays; rebuilds that a stream would rather put off are left until they are due, and it looks once a
        second whether the source tables were altered, not at each poll.
    suspects: of a process whose connections come and go.
    """

    def __init__(
        self,
        connection: psycopg.AsyncConnection,
        streams: Sequence[str] | None = None,
        *,
        patient: bool = False,
        clock: Callable[[], float] = time.monotonic,
        suspects: Suspects | None = None,
    ) -> None:
        self.connection = connection
        self.streams = streams
        self.patient = patient
        self.drained = Drained()
        self._suspects = Suspects() if suspects is None else suspects
        self._batches: dict[tuple[str, int], Batch] = {}
        self._rounds_without_rebuild = 0
        self._clock = clock
        self._looked_at: float | None = None
        self._paused: dict[str, Work] = {}

    async def round(self, stopping: Callable[[], bool] = lambda: False) -> tuple[list[Work], bool]:
        """One poll and a step for each thing found; changes go before rebuilds, which then count them all at once.

        Returns:
            what was found, and whether anything was moved on.

        Raises:
            psycopg.Error: all but data errors, which are bisected down to dead letters, and what fails a single rebuild.
        """
        look = self._is_time_to_look()
        found = await poll(self.connection, self.streams, patient=self.patient, look=look)
        if look:
            self._paused = {work.stream: work for work in found if work.kind == "paused"}
        elif self._paused:
            found = [work for work in found if work.stream not in self._paused] + [*self._paused.values()]
        moved = more = False
        for work in found:
            if work.kind == "altered" and not stopping():
                await step(self.connection, work, Batch())
        changes = [work for work in found if work.kind == "change"]
        random.shuffle(changes)
        for work in changes:
            shard_moved, shard_more = await self._drain_shard(work, stopping)
            moved |= shard_moved
            more |= shard_more
        self._rounds_without_rebuild += 1
        if not more or self._rounds_without_rebuild > MOST_ROUNDS_WITHOUT_REBUILD:
            self._rounds_without_rebuild = 0
            for work in found:
                if work.kind == "rebuild" and not stopping():
                    tried = await rebuild_next(
                        self.connection, work.stream, self._suspects, patient=self.patient, stopping=stopping
                    )
                    moved |= tried > 0
                    self.drained = replace(self.drained, rebuilt=self.drained.rebuilt + tried)
        return found, moved

    def _is_time_to_look(self) -> bool:
        now = self._clock()
        if self.patient and self._looked_at is not None and now - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = now
        return True

    async def _drain_shard(self, work: Work, stopping: Callable[[], bool]) -> tuple[bool, bool]:
        """Steps through the open window, so that a poll is not paid per batch: (moved, more is there)."""
        key = (work.stream, work.shard)
        moved = False
        for _ in range(STEPS_PER_POLL):
            if stopping():
                break
            batch = self._batches.get(key, Batch())
            try:
                done = await step(self.connection, work, batch)
            except psycopg.Error as error:
                if not is_data_error(error.sqlstate) or batch.isolate:
                    raise
                self._batches[key] = after_data_error(batch)
                moved = True
                continue
            self._batches[key] = after_success(batch)
            if done.status != "applied":
                return moved, False
            moved = True
            self.drained = replace(
                self.drained,
                changes=self.drained.changes + done.changes,
                dead_letters=self.drained.dead_letters + done.dead_letters,
            )
            if not done.more:
                return moved, False
        return moved, True


async def drain(
    database_url: str,
    streams: Sequence[str] | None = None,
    *,
    timeout_seconds: float | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Drained:
    """Applies everything that is there: until a poll finds every visible change applied and no rebuild queued.

    Raises:
        HeadraceError: a stream is blocked, a right is missing, the database is out of reach for good, or (exit code 3)
            the time is over; the message names what is in the way.
    """
    deadline = None if timeout_seconds is None else clock() + timeout_seconds
    connection = await connect(database_url, "headrace drain")
    drainer = Drainer(connection, streams)
    attending = asyncio.create_task(attend(connection, database_url))
    failures = 0
    last_problem = ""
    try:
        while True:
            found: list[Work] = []
            try:
                found, moved = await drainer.round()
                failures = 0
                for work in found:
                    if work.kind in BLOCKED:
                        raise HeadraceError(blocked_message(work))
                if not found:
                    return drainer.drained
                pause = 0.0 if moved else 0.02
            except psycopg.Error as error:
                last_problem = explain(error)
                failures += 1
                if not is_passing(error):
                    raise HeadraceError(last_problem) from error
                pause = retry_delay(failures)
                if connection.closed:
                    attending.cancel()
                    drainer.connection = connection = await _reconnected(database_url, deadline, sleep, clock)
                    attending = asyncio.create_task(attend(connection, database_url))
            if deadline is not None and clock() >= deadline:
                raise HeadraceError(
                    await _in_the_way(connection, found, timeout_seconds, last_problem), exit_code=3
                )
            await sleep(pause)
    finally:
        attending.cancel()
        await connection.close()


async def _reconnected(
    database_url: str,
    deadline: float | None,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float],
    give_up_after_seconds: float = 60.0,
) -> AsyncSession:
    give_up = min(clock() + give_up_after_seconds, deadline if deadline is not None else float("inf"))
    failures = 0
    while True:
        try:
            return await connect(database_url, "headrace drain")
        except HeadraceError:
            if clock() >= give_up:
                raise
            failures += 1
            await sleep(retry_delay(failures))


async def _in_the_way(
    connection: psycopg.AsyncConnection,
    found: Sequence[Work],
    timeout_seconds: float | None,
    last_problem: str,
) -> str:
    parts = []
    try:
        cursor = await connection.execute(
            "SELECT stream, shard, rows_behind, seconds_behind, oldest_writer_pid, oldest_writer_seconds"
            " FROM headrace.stream_lag WHERE rows_behind > 0 ORDER BY 1, 2"
        )
        for stream, shard, rows, seconds, pid, writer_seconds in await cursor.fetchall():
            # Whose session it is decides whether the owner of schema headrace may know since when.
            since = "" if writer_seconds is None else f", {writer_seconds:.0f} s"
            writer = f"; oldest writer: pid {pid}{since}" if pid else ""
            parts.append(f"stream {stream} shard {shard} is {rows} changes, {seconds:.0f} s behind{writer}")
        cursor = await connection.execute(
            "SELECT pid, left(query, 80), wait_event_type FROM pg_stat_activity WHERE pid = ANY ("
            "SELECT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity WHERE application_name LIKE 'headrace%')"
        )
        for pid, query, _ in await cursor.fetchall():
            parts.append(f"pid {pid} holds a lock that is waited for: {query}")
    except psycopg.Error as error:
        parts.append(explain(error))
    parts += [f"stream {work.stream} has rebuilds queued" for work in found if work.kind == "rebuild"]
    if last_problem:
        parts.append(f"last error: {last_problem}")
    return f"not idle after {timeout_seconds:g} s: " + ("; ".join(parts) or "changes kept coming")


def explain(error: psycopg.Error) -> str:
    """A database error as a sentence that says what to do: the server's message, without the statement it ran."""
    problem = " ".join((error.diag.message_primary or str(error)).split())
    match error.sqlstate:
        case "42501":
            return (
                f"the role of HEADRACE_DATABASE_URL may not do this ({problem}); a worker's needs "
                "GRANT headrace_worker TO <role>; and this version's rights: headrace migrate"
            )
        case "3F000" | "42883" | "42P01" if "headrace" in problem:
            return f"schema headrace is not installed, or older than this version ({problem}); run: headrace migrate"
        case _:
            return problem
