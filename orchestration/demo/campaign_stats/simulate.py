"""`headrace demo simulate`: traffic of the example application, at a steady rate, until its time is up or it is asked to end.

Here: pace, connections, reconnecting, reports, the end. Not here: what happens (`actors.py`) and how it is
written (`writes.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import psycopg

from orchestration.database.connections import connect
from orchestration.database.sentences import is_passing, retry_delay, said
from orchestration.demo.campaign_stats.actions import Action, MessagesQueued, WebhookCame
from orchestration.demo.campaign_stats.actors import Actor, Application, cast, next_arrival
from orchestration.demo.campaign_stats.writes import Intake, Writer, require_example
from orchestration.errors import HeadraceError

LABEL = "Simulated"

_REPORT_SECONDS = 10.0
_INTAKE_SECONDS = 10.0  # how often to check whether raw webhooks can be taken in by now
_GRACE_SECONDS = 5.0
_BEHIND_SECONDS = 1.0  # from here on the rate counts as missed

Say = Callable[[str], None]
Connect = Callable[[], Awaitable[psycopg.AsyncConnection]]


@dataclass
class Tally:
    """What a simulation did.

    Attributes:
        events: committed transactions by kind.
        statuses: statuses in webhooks, by status and by remark.
        refused: events on something that somebody else just deleted.
        failed: events whose transaction was rolled back, or whose connection broke.
        outages: connections lost or refused.
        slowest: seconds of the slowest committed transaction, without its intended pause, and its kind.
    """

    events: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    rejected: int = 0
    refused: int = 0
    failed: int = 0
    outages: int = 0
    slowest: tuple[float, str] = (0.0, "none")

    def count(self, action: Action, intake: Intake, seconds: float = 0.0) -> None:
        self.events[action.kind] += 1
        held = action.hold if isinstance(action, MessagesQueued) else 0.0
        self.slowest = max(self.slowest, (seconds - held, action.kind))
        self.repeated += intake.repeated
        self.rejected += intake.rejected
        if isinstance(action, WebhookCame):
            for status in action.statuses:
                self.statuses[status.status] += 1
                if status.remark:
                    self.statuses[status.remark] += 1


def progress(tally: Tally, before: int, seconds: float, elapsed: float, rate: float, behind: float) -> str:
    """One line: what was done in the last `seconds`; before: the number of events until then."""
    done = tally.events.total() - before
    line = (
        f"{elapsed:.0f} s: {tally.events.total():,} events, {done / max(seconds, 1e-9):.1f}/s of {rate:g}/s"
    )
    if behind > _BEHIND_SECONDS:
        line += f"; {behind:.1f} s behind: the rate is not held"
    if tally.outages:
        line += f"; {tally.outages} connections lost or refused so far"
    return line


def summary(tally: Tally, elapsed: float, rate: float, behind: float) -> str:
    """Several lines: counts by kind, failures, and whether the rate was held."""
    done = tally.events.total()
    lines = [f"{done:,} events in {elapsed:.1f} s, {done / max(elapsed, 1e-9):.1f}/s of {rate:g}/s:"]
    lines += [f"  {count:>8,}  {kind}" for kind, count in sorted(tally.events.items(), key=_by_count)]
    if tally.statuses:
        found = ", ".join(
            f"{count:,} {name}" for name, count in sorted(tally.statuses.items(), key=_by_count)
        )
        lines.append(f"statuses in webhooks: {found}")
    lines.append(
        f"raw items that were known already: {tally.repeated:,}; not taken, on purpose: {tally.rejected:,}"
    )
    lines.append(
        f"refused, its campaign just deleted: {tally.refused:,}; failed and done again: {tally.failed:,}; "
        f"connections lost or refused: {tally.outages:,}"
    )
    lines.append(f"slowest transaction: {tally.slowest[0] * 1000:,.0f} ms ({tally.slowest[1]})")
    if behind > _BEHIND_SECONDS:
        lines.append(f"The rate was not held: {behind:.1f} s behind at the end.")
    return "\n".join(lines)


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


class Simulation:
    """One run of the simulator.

    Args:
        rate: events a second, over all actors.
        seconds: how long; None: until `stop`.
        seed: determines what happens; ids differ in each run.
        open_connection: opens a connection in autocommit mode or raises HeadraceError.
        clock, sleep: monotonic seconds, and waiting.
        began: seconds since 1970 at this moment.
    """

    def __init__(
        self,
        open_connection: Connect,
        source_schema: str,
        *,
        rate: float,
        seconds: float | None,
        seed: int,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        began: float | None = None,
    ) -> None:
        self.tally = Tally()
        self.rate = rate
        self.label = f"{LABEL} {uuid.uuid4().hex[:4]}"
        self.application = Application(random.Random(seed), self.label)
        self._open_connection = open_connection
        self._source_schema = source_schema
        self._seconds = seconds
        self._seed = seed
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._start = clock()
        self._began = time.time() if began is None else began
        self._stopping = asyncio.Event()
        self._asleep: set[asyncio.Task[None]] = set()
        self._due: dict[Actor, float] = {}
        self._intake_asked = float("-inf")
        self.behind_at_the_end = 0.0

    def stop(self) -> None:
        """Ends the run: transactions under way are committed, and nothing new begins."""
        if not self._stopping.is_set():
            self.behind_at_the_end = self.behind
            self._stopping.set()
        for task in list(self._asleep):
            task.cancel()

    async def run(self) -> Tally:
        """Runs to the end.

        Raises:
            HeadraceError: the database permanently refuses what the simulator does. What was done is in `tally`.
        """
        loops = [self._act(actor) for actor in cast(self.rate)] + [self._report()]
        if self._seconds is not None:
            loops.append(self._end_after(self._seconds))
        tasks = [asyncio.create_task(loop) for loop in loops]
        for task in tasks:
            task.add_done_callback(self._stop_if_it_failed)
        await self._stopping.wait()
        _, late = await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
        for task in late:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, Exception):
                raise outcome
        await self._complete_campaigns()
        return self.tally

    def _stop_if_it_failed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.stop()

    @property
    def elapsed(self) -> float:
        return self._clock() - self._start

    @property
    def behind(self) -> float:
        """Seconds since the oldest event that is due but has not begun."""
        return max([0.0, *(self._clock() - due for due in self._due.values())])

    # --- loops --------------------------------------------------------------------------------------------

    async def _act(self, actor: Actor) -> None:
        """One actor's events, on its own connection, which is opened again whenever it breaks."""
        rng = random.Random(f"{self._seed} {actor.role} {actor.number}")
        failures = 0
        while not self._stopping.is_set():
            try:
                connection = await self._open_connection()
            except HeadraceError as error:
                failures += 1
                await self._lost(str(error), failures)
                continue
            try:
                writer = Writer(connection, self._source_schema, self._sleep)
                # Events that came due without a connection are dropped: the schedule starts again.
                self._due[actor] = self._clock()
                while not self._stopping.is_set():
                    self._due[actor] = next_arrival(self._due[actor], actor.rate, rng)
                    await self._pause(self._due[actor] - self._clock())
                    await self._do(actor, writer)
                    failures = 0
            except psycopg.Error as error:
                if not is_passing(error):
                    raise _refused("looking for the intake", error) from error
                failures += 1
                await self._lost(said(error, detail=True), failures)
            finally:
                self._due.pop(actor, None)
                with contextlib.suppress(psycopg.Error):
                    await connection.close()

    async def _do(self, actor: Actor, writer: Writer) -> None:
        """One event. Raises psycopg.Error only if the connection is lost."""
        await self._look_for_intake(writer)
        action = self.application.decide(actor.role, self._now())
        begun = self._clock()
        try:
            intake = await writer.write(action)
        except psycopg.errors.ForeignKeyViolation:
            self.tally.refused += 1
            self.application.undone(action)
        except psycopg.Error as error:
            self.application.undone(action)
            self.tally.failed += 1
            if not is_passing(error):
                raise _refused(action.kind, error) from error
            if writer.connection.closed:
                raise
        else:
            self.application.happened(action, self._now())
            self.tally.count(action, intake, self._clock() - begun)

    async def _look_for_intake(self, writer: Writer) -> None:
        if self._clock() - self._intake_asked >= _INTAKE_SECONDS:
            self._intake_asked = self._clock()
            self.application.intake = await writer.has_intake()

    async def _lost(self, problem: str, failures: int) -> None:
        self.tally.outages += 1
        if failures == 1 and not self._stopping.is_set():
            self._say(f"No connection ({problem}); trying again.")
        await self._pause(retry_delay(failures))

    async def _report(self) -> None:
        before, since = 0, self._clock()
        while True:
            await self._pause(_REPORT_SECONDS)
            now = self._clock()
            self._say(progress(self.tally, before, now - since, self.elapsed, self.rate, self.behind))
            before, since = self.tally.events.total(), now

    async def _end_after(self, seconds: float) -> None:
        await self._pause(seconds)
        self.stop()

    async def _complete_campaigns(self) -> None:
        """Completes campaigns that nobody sends any more; they would stay running for ever."""
        campaigns = [campaign.id for campaign in self.application.open_campaigns()]
        if not campaigns:
            return
        try:
            connection = await self._open_connection()
            try:
                await Writer(connection, self._source_schema, self._sleep).complete(campaigns, self._now())
            finally:
                await connection.close()
        except (psycopg.Error, HeadraceError) as error:
            problem = said(error, detail=True)
            self._say(f"{len(campaigns)} campaigns could not be completed at the end ({problem}).")
        else:
            self.tally.events["campaign completed"] += len(campaigns)

    # --- time ---------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._began + self.elapsed

    async def _pause(self, seconds: float) -> None:
        """Sleeps; `stop` cancels this task, which is in no transaction here."""
        if self._stopping.is_set():
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        self._asleep.add(task)
        try:
            await self._sleep(max(seconds, 0.0))
        finally:
            self._asleep.discard(task)


def _refused(what: str, error: psycopg.Error) -> HeadraceError:
    return HeadraceError(
        f"The simulator cannot go on ({what}: {said(error, detail=True)}): "
        "the example's tables must be as `headrace demo schema` makes them, and this role's to write."
    )


def simulate(
    url: str, source_schema: str, *, rate: float, seconds: float | None, seed: int | None, say: Say
) -> None:
    """Runs until its time is up, or SIGINT or SIGTERM comes; says what it did.

    Raises:
        HeadraceError: no connection at the start, the tables are not the example's, or what is written is refused.
    """
    require_example(url, source_schema)
    asyncio.run(_simulate(url, source_schema, rate, seconds, seed, say))


async def _simulate(
    url: str, source_schema: str, rate: float, seconds: float | None, seed: int | None, say: Say
) -> None:
    simulation = Simulation(
        lambda: connect(url, "headrace demo simulate"),
        source_schema,
        rate=rate,
        seconds=seconds,
        seed=random.randrange(2**32) if seed is None else seed,
        say=say,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, simulation.stop)
    actors = len(cast(rate))
    say(f"{rate:g} events a second by {actors} actors, in campaigns named “{simulation.label} …”.")
    try:
        await simulation.run()
    finally:
        say(summary(simulation.tally, simulation.elapsed, rate, simulation.behind_at_the_end))
