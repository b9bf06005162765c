"""Draining streams: which batch to ask for next (pure), and the statements that ask for it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import psycopg

from orchestration.database.connections import connect
from orchestration.database.sentences import as_sentence, explain, is_data_error, is_passing, retry_delay
from orchestration.database.sessions import AsyncSession
from orchestration.engine.in_the_way import what_is_in_the_way
from orchestration.engine.line import attend
from orchestration.engine.rebuilds import Suspects, rebuild_next
from orchestration.errors import HeadraceError

FIRST_BATCH = 2_500
# In a backlog batches grow up to this size: what changed several times is then processed once.
FULL_BATCH = 20_000
# At this size and below, the changes of a batch are applied one by one and the culprits set aside.
ISOLATED_BATCH = 16
STEPS_PER_POLL = 20
# A caller with less time gets this much all the same: enough to look once whether there is anything to do.
LEAST_SECONDS = 0.5
# How often a loop that polls every few milliseconds checks whether the application altered its tables.
LOOK_SECONDS = 1.0
# Kinds of work that no worker can do: blocked_message says what somebody must do first.
BLOCKED = ("mismatch", "lost", "paused")
# Changes go first, because a rebuild then counts them all at once; but a steady stream must not starve rebuilds.
MOST_ROUNDS_WITHOUT_REBUILD = 3


@dataclass(frozen=True)
class Batch:
    """How many changes to ask for, and whether to apply them one by one."""

    limit: int = FIRST_BATCH
    isolate: bool = False


@dataclass(frozen=True)
class Work:
    """What a poll found: kind is change, rebuild, altered, paused, mismatch or lost. what: the altered source, or why it is paused."""

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
    """Totals of a drain: changes applied or set aside, items rebuilt, dead letters made."""

    changes: int = 0
    rebuilt: int = 0
    dead_letters: int = 0


def after_data_error(batch: Batch) -> Batch:
    """Halves the batch; a small one is taken apart, down to a single change."""
    limit = max(1, batch.limit // 2)
    return Batch(limit, isolate=limit <= ISOLATED_BATCH)


def after_success(batch: Batch) -> Batch:
    """Doubles the batch, up to the full size."""
    return Batch(min(FULL_BATCH, batch.limit * 2))


def blocked_message(work: Work) -> str:
    if work.kind == "paused":
        return f"stream {work.stream} is paused: {work.what}"
    what = (
        "stands in another cluster or in the future: this database was restored or cloned"
        if work.kind == "mismatch"
        else "was idle for too long and lost its place in the change log"
    )
    return f"stream {work.stream} {what}; run: headrace streams rebase {work.stream}"


def described(work: Work) -> str:
    """A step in words, for those who wait for it."""
    match work.kind:
        case "rebuild":
            return f"a rebuild of stream {work.stream}"
        case "altered":
            return f"looking at table {work.what}, which was altered, for stream {work.stream}"
        case _:
            return f"changes of stream {work.stream} shard {work.shard}"


async def poll(
    connection: psycopg.AsyncConnection,
    streams: Sequence[str] | None,
    *,
    patient: bool = False,
    look: bool = True,
) -> list[Work]:
    """What there is to do, in one statement that locks and writes nothing.

    Args:
        patient: leave out rebuilds that the stream would rather put off.
        look: also check whether the source tables were altered.
    """
    cursor = await connection.execute(
        "SELECT stream, shard, work, what FROM headrace.stream_poll(%s, %s, %s)",
        [list(streams) if streams is not None else None, patient, look],
    )
    return [Work(*row) for row in await cursor.fetchall()]


async def step(connection: psycopg.AsyncConnection, work: Work, batch: Batch) -> Step:
    """Applies one batch of a shard, or notes an altered source, in one transaction at the connection's isolation level."""
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
    """Steps through what polls find, on one connection, and remembers for each shard which batch to ask for next.

    doing: the step under way, in words.
    patient: for a worker that stays. Rebuilds that a stream would rather put off wait until they are due, and altered source
        tables are looked for once a second instead of at each poll.
    suspects: those of the process, whose connections come and go.
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
        self.doing = ""
        self._suspects = Suspects() if suspects is None else suspects
        self._batches: dict[tuple[str, int], Batch] = {}
        self._rounds_without_rebuild = 0
        self._clock = clock
        self._looked_at: float | None = None
        self._paused: dict[str, Work] = {}

    async def round(self, stopping: Callable[[], bool] = lambda: False) -> tuple[list[Work], bool]:
        """One poll and a step for each thing found. Changes go before rebuilds, which then count them all at once.

        Returns:
            what was found, and whether anything was moved on.

        Raises:
            psycopg.Error: any error except data errors, which are bisected down to dead letters, and failures of a single rebuild.
        """
        look = self._is_time_to_look()
        self.doing = "a look at what there is to do"
        found = await poll(self.connection, self.streams, patient=self.patient, look=look)
        self.doing = ""
        if look:
            self._paused = {work.stream: work for work in found if work.kind == "paused"}
        elif self._paused:
            found = [work for work in found if work.stream not in self._paused] + [*self._paused.values()]
        moved = more = False
        for work in found:
            if work.kind == "altered" and not stopping():
                await self._step(work, Batch())
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
                    self.doing = described(work)
                    tried = await rebuild_next(
                        self.connection,
                        work.stream,
                        self._suspects,
                        patient=self.patient,
                        stopping=stopping,
                        picked=self._rebuilding,
                    )
                    self.doing = ""
                    moved |= tried > 0
                    self.drained = replace(self.drained, rebuilt=self.drained.rebuilt + tried)
        return found, moved

    async def _step(self, work: Work, batch: Batch) -> Step:
        self.doing = described(work)
        done = await step(self.connection, work, batch)
        self.doing = ""
        return done

    def _rebuilding(self, stream: str, items: Sequence[str]) -> None:
        more = f" and {len(items) - 1} more" if len(items) > 1 else ""
        self.doing = f"a rebuild of stream {stream}: {items[0]}{more}"

    def _is_time_to_look(self) -> bool:
        now = self._clock()
        if self.patient and self._looked_at is not None and now - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = now
        return True

    async def _drain_shard(self, work: Work, stopping: Callable[[], bool]) -> tuple[bool, bool]:
        """Drains a shard in several steps, so that not every batch costs a poll: (moved, more is there)."""
        key = (work.stream, work.shard)
        moved = False
        for _ in range(STEPS_PER_POLL):
            if stopping():
                break
            batch = self._batches.get(key, Batch())
            try:
                done = await self._step(work, batch)
            except psycopg.Error as error:
                if not is_data_error(error.sqlstate, error.diag.message_primary) or (
                    batch.isolate and batch.limit == 1
                ):
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
    spent_seconds: float = 0.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Drained:
    """Applies everything there is: until a poll finds every visible change applied and no rebuild queued.

    Args:
        timeout_seconds: after this time the step under way is cancelled.
        spent_seconds: how much of the timeout is used up already.

    Raises:
        HeadraceError: a stream is blocked, a right is missing, the database is out of reach for good, or (exit code 3)
            the time is up; the message names what is in the way.
    """
    deadline = None if timeout_seconds is None else clock() + timeout_seconds - spent_seconds
    connection = await connect(database_url, "headrace drain")
    drainer = Drainer(connection, streams)
    attending = asyncio.create_task(attend(connection, database_url))
    failures = 0
    last_problem = ""

    async def time_is_over() -> HeadraceError:
        said = await what_is_in_the_way(database_url, streams, drainer.doing)
        said += [f"last error: {last_problem}"] if last_problem else []
        return HeadraceError(
            f"not idle after {timeout_seconds:g} s: " + ("; ".join(said) or "changes kept coming"),
            exit_code=3,
        )

    try:
        while True:
            try:
                found, moved = await _round_until(
                    drainer, time_is_over, None if deadline is None else deadline - clock()
                )
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
                    raise as_sentence(error) from error
                pause = retry_delay(failures)
                if connection.closed:
                    attending.cancel()
                    drainer.connection = connection = await _reconnected(database_url, deadline, sleep, clock)
                    attending = asyncio.create_task(attend(connection, database_url))
            if deadline is not None and clock() >= deadline:
                raise await time_is_over()
            await sleep(pause)
    finally:
        attending.cancel()
        await connection.close()


async def _round_until(
    drainer: Drainer, time_is_over: Callable[[], Awaitable[HeadraceError]], seconds: float | None
) -> tuple[list[Work], bool]:
    """One round of the drainer, cut off when the time is up: a step may take longer, or wait for others.

    Raises:
        HeadraceError: from time_is_over, which is called while the step still waits.
    """
    if seconds is None:
        return await drainer.round()
    late = asyncio.Event()
    task = asyncio.ensure_future(drainer.round(late.is_set))
    try:
        await asyncio.wait({task}, timeout=max(LEAST_SECONDS, seconds))
        late.set()
        if not task.done():
            raise await time_is_over()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, psycopg.Error):
                await task


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
