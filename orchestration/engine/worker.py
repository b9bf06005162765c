"""The resident worker: loops that drain streams, one for housekeeping, one for the heartbeat. All lasting state is in the database."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import psycopg
import structlog

from orchestration.database.connections import connect
from orchestration.database.sentences import as_sentence, explain, is_passing, retry_delay
from orchestration.engine.housekeeping import housekeep
from orchestration.engine.line import attend
from orchestration.engine.rebuilds import Suspects
from orchestration.engine.stream import BLOCKED, Drainer, Work, blocked_message
from orchestration.errors import HeadraceError

log = structlog.get_logger("headrace.worker")

BUSY_PAUSE_SECONDS = 0.002
LONGEST_IDLE_PAUSE_SECONDS = 0.05
HEARTBEAT_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 60.0
PROGRESS_SECONDS = 5.0


def next_pause(pause: float, moved: bool) -> float:
    """Seconds until the next poll: 2 ms while there is work, then doubling to 50 ms while there is none."""
    return (
        BUSY_PAUSE_SECONDS if moved else min(LONGEST_IDLE_PAUSE_SECONDS, max(pause, BUSY_PAUSE_SECONDS) * 2)
    )


class Worker:
    """A worker process: `run` returns once `stop` has been called and the batches under way are committed."""

    def __init__(
        self,
        database_url: str,
        *,
        streams: Sequence[str] | None = None,
        concurrency: int = 1,
        retention: timedelta = timedelta(days=7),
        lost_after: timedelta = timedelta(days=14),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database_url = database_url
        self._streams = list(streams) if streams is not None else None
        self._concurrency = concurrency
        self._retention = retention
        self._lost_after = lost_after
        self._clock = clock
        self._stopping = asyncio.Event()
        self._id = str(uuid.uuid4())
        self._drainers: list[Drainer] = []
        self._suspects = Suspects()
        self._changes_of_closed = 0
        self._last_error: str | None = None
        self._reported: set[str] = set()
        self._rebuilding_since: float | None = None
        self._rebuilds_reported_at = 0.0

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Works until stopped.

        Raises:
            HeadraceError: at the start the database is out of reach, Headrace is not installed, or the role is refused.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        await self._first_contact()
        log.info(
            "worker started", worker=self._id, streams=self._streams or "all", concurrency=self._concurrency
        )
        async with asyncio.TaskGroup() as group:
            for number in range(self._concurrency):
                group.create_task(self._keep(f"drain {number}", self._drain_loop))
            group.create_task(self._keep("housekeeping", self._housekeeping_loop))
            group.create_task(self._keep("heartbeat", self._heartbeat_loop))
        log.info("worker stopped", worker=self._id, changes=self._changes())

    async def _first_contact(self) -> None:
        connection = await connect(self._database_url, "headrace worker")
        try:
            await self._heartbeat(connection, "running")
            await connection.execute("SELECT FROM headrace.stream_poll(%s)", [self._streams])
            if self._streams is not None:
                cursor = await connection.execute("SELECT stream FROM headrace.stream")
                there = {row[0] for row in await cursor.fetchall()}
                if missing := [name for name in self._streams if name not in there]:
                    raise HeadraceError(
                        f"there is no stream {', '.join(missing)}; there are: {', '.join(sorted(there)) or 'none'}",
                        exit_code=2,
                    )
        except psycopg.Error as error:
            raise as_sentence(error, by="worker", exit_code=2) from error
        finally:
            await connection.close()

    async def _keep(self, name: str, loop: Callable[[psycopg.AsyncConnection], Awaitable[None]]) -> None:
        """Runs a loop on its own connection, and starts it again when the connection breaks or an error passes."""
        failures = 0
        while not self._stopping.is_set():
            began = self._clock()
            try:
                connection = await connect(self._database_url, "headrace worker")
                attending = asyncio.create_task(attend(connection, self._database_url))
                try:
                    await loop(connection)
                finally:
                    attending.cancel()
                    await connection.close()
                return
            except (psycopg.Error, HeadraceError) as error:
                failures = 1 if self._clock() - began > 30 else failures + 1
                problem = explain(error) if isinstance(error, psycopg.Error) else str(error)
                self._last_error = problem
                passing = not isinstance(error, psycopg.Error) or is_passing(error)
                log.log(
                    30 if passing else 40, "worker tries again", loop=name, error=problem, failures=failures
                )
                await self._pause(retry_delay(failures if passing else 10))

    async def _drain_loop(self, connection: psycopg.AsyncConnection) -> None:
        drainer = Drainer(connection, self._streams, patient=True, suspects=self._suspects)
        self._drainers.append(drainer)
        pause = BUSY_PAUSE_SECONDS
        try:
            while not self._stopping.is_set():
                found, moved = await drainer.round(self._stopping.is_set)
                self._report_blocked(found)
                await self._report_rebuilds(connection, found)
                pause = next_pause(pause, moved)
                await self._pause(pause)
        finally:
            self._drainers.remove(drainer)
            self._changes_of_closed += drainer.drained.changes

    def _report_blocked(self, found: Sequence[Work]) -> None:
        for work in found:
            if work.kind in BLOCKED and (message := blocked_message(work)) not in self._reported:
                self._reported.add(message)
                self._last_error = message
                log.error("stream is blocked", stream=work.stream, error=message)

    async def _report_rebuilds(self, connection: psycopg.AsyncConnection, found: Sequence[Work]) -> None:
        """Logs how many rebuilds are left, when they begin and every few seconds after that, and when they are done."""
        now = self._clock()
        if not any(work.kind == "rebuild" for work in found):
            if self._rebuilding_since is not None:
                log.info("rebuilt", seconds=round(now - self._rebuilding_since, 1))
                self._rebuilding_since = None
        elif self._rebuilding_since is None or now - self._rebuilds_reported_at >= PROGRESS_SECONDS:
            cursor = await connection.execute(
                "SELECT stream, waiting FROM headrace.stream_rebuilds(%s, p_patient => true) WHERE waiting > 0",
                [self._streams],
            )
            log.info("rebuilding", left=dict(await cursor.fetchall()))
            self._rebuilding_since = self._rebuilding_since or now
            self._rebuilds_reported_at = now

    async def _housekeeping_loop(self, connection: psycopg.AsyncConnection) -> None:
        due = self._clock()
        while not self._stopping.is_set():
            if self._clock() >= due:
                done = await housekeep(connection, self._retention, self._lost_after)
                log.info(
                    "housekeeping",
                    partitions_added=done.added,
                    partitions_dropped=done.dropped,
                    changes_expired=done.expired,
                    dead_letters_retried=done.retried,
                    postponed=done.postponed,
                )
                due = self._clock() + (HEARTBEAT_SECONDS if done.postponed else HOUSEKEEPING_SECONDS)
            await self._pause(HEARTBEAT_SECONDS)

    async def _heartbeat_loop(self, connection: psycopg.AsyncConnection) -> None:
        """On its own connection: whatever the other loops wait for, this one reports that the worker is alive."""
        while not self._stopping.is_set():
            await self._heartbeat(connection, "running")
            await self._pause(HEARTBEAT_SECONDS)
        await self._heartbeat(connection, "stopped")

    async def _heartbeat(self, connection: psycopg.AsyncConnection, state: str) -> None:
        await connection.execute(
            "SELECT headrace.worker_heartbeat(%s, %s, %s, %s, %s, %s, %s)",
            [
                self._id,
                socket.gethostname(),
                os.getpid(),
                state,
                self._streams or ["*"],
                self._changes(),
                self._last_error,
            ],
        )

    def _changes(self) -> int:
        return self._changes_of_closed + sum(drainer.drained.changes for drainer in self._drainers)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
