"""Brings the statistics of a window of campaigns up to date.

Here: which campaigns need work, and in which portions. Not here: how a message is counted (SQL,
dbt_like_sql/campaign_stats), what is shown (summaries.py), and Dagster.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import psycopg
import sqlalchemy as sa

from orchestration.database.statements import statement
from orchestration.database.transactions import execute, snapshot
from orchestration.engine.backlog import MOST_LISTED, FailedRebuild, Rebuilds, read_shards
from orchestration.engine.rebuilds import Verdict, verdict
from orchestration.engine.stream import Drained, drain
from orchestration.errors import HeadraceError

STREAM = "campaign_stats"

# A rebuild locks the campaigns of its transaction, and so holds up the stream. A transaction therefore takes few campaigns and not
# many messages, with the limits of headrace.rebuild_pick for settling campaigns, because some of these may be settling.
MOST_CAMPAIGNS_AT_ONCE = 20
MOST_MESSAGES_AT_ONCE = 5_000
_TIMED_OUT = 3
_MOST_TOLD = 3
# The sensor takes a run for dead if it has logged nothing for minutes (RUN_IS_DEAD_AFTER in dagster_kit/reporting.py).
_SAY_EVERY_SECONDS = 30.0

_REBUILD = "SELECT headrace.rebuild_campaign_stats(%(campaigns)s::uuid[])"
# It locks the campaigns: no counter may change between reading the counters and writing the document.
_REFRESH = ("SELECT headrace.refresh_unfrozen_documents(%(campaigns)s::uuid[])",)


@dataclass(frozen=True)
class Window:
    """The campaigns created from start on and before end; both with time zone."""

    start: datetime
    end: datetime

    @staticmethod
    def of_day(day: date) -> Window:
        """The campaigns created on a UTC day."""
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return Window(start, start + timedelta(days=1))

    @property
    def parameters(self) -> dict[str, object]:
        return {"start": self.start, "end": self.end}


@dataclass(frozen=True)
class Campaign:
    """A campaign of the window, or a named one. messages: as stored; due: it needs computing, rebuilding, amending or freezing."""

    id: UUID
    day: date | None
    messages: int
    due: bool


@dataclass(frozen=True)
class Upkeep:
    """What was done.

    Attributes:
        drained: what the stream applied; None if changes kept coming (those there at the start are applied).
        campaigns: how many are in the window or named.
        rebuilt: how many of them were recomputed from source.
        corrected: how many messages or counters a recompute changed.
    """

    drained: Drained | None
    campaigns: int
    rebuilt: int
    corrected: int


def bring_up_to_date(
    engine: sa.Engine,
    database_url: str,
    window: Window,
    *,
    rebuild: bool,
    timeout_seconds: float,
    log: Callable[[str], None],
    named: Sequence[UUID] = (),
    run_drain: Callable[[str, Sequence[str], float, Callable[[str], None]], Drained] | None = None,
) -> Upkeep:
    """Applies what the stream holds, then recomputes the window's campaigns that need it (`rebuild`: all).

    Safe at any time, even twice at once: campaigns are locked while they are recomputed.

    Args:
        timeout_seconds: for the stream. It does not wait for changes that came after the start.
        named: campaigns of any day that are recomputed too, unless they are frozen.

    Raises:
        HeadraceError: the stream is blocked, or did not apply in time what was there at the start; the database is out of
            reach, Headrace is not installed, or a right is missing; or some campaigns could not be recomputed. It names
            them; the others were recomputed.
    """
    with snapshot(engine) as connection:
        began = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    drained: Drained | None
    try:
        drained = (run_drain or _drain)(database_url, [STREAM], timeout_seconds, log)
    except HeadraceError as error:
        if error.exit_code != _TIMED_OUT or _is_behind(engine, began):
            raise
        drained = None
        log(f"changes keep coming; all that were there at the start are applied ({error})")
    else:
        log(f"stream {STREAM}: {drained.changes} changes applied, {drained.rebuilt} campaigns rebuilt")
    campaigns = window_campaigns(engine, window, named)
    due = [campaign for campaign in campaigns if rebuild or campaign.due]
    corrected = 0
    done = 0
    failed: dict[UUID, str] = {}
    for portion in portions(due):
        corrected += _rebuild_portion(engine, [campaign.id for campaign in portion], failed)
        done += len(portion)
        log(f"{done - len(failed)} of {len(due)} campaigns recomputed from source")
    if failed:
        told = "; ".join(f"{campaign}: {problem}" for campaign, problem in [*failed.items()][:_MOST_TOLD])
        raise HeadraceError(
            f"{len(failed)} of {len(due)} campaigns could not be recomputed, the others were ({told})"
        )
    return Upkeep(drained, len(campaigns), done, corrected)


def read_rebuilds(connection: sa.Connection) -> Rebuilds:
    """The campaigns that wait for their rebuild, and those that cannot be rebuilt."""
    waiting, seconds, all_failed = connection.exec_driver_sql(
        statement("campaign_stats", "rebuilds"), {}
    ).one()
    failed: tuple[FailedRebuild, ...] = ()
    if all_failed:
        rows = connection.exec_driver_sql(
            statement("campaign_stats", "rebuilds_failed"), {"most": MOST_LISTED}
        )
        failed = tuple(FailedRebuild(*row) for row in rows)
    return Rebuilds(waiting, seconds, failed, all_failed)


def mend_documents(engine: sa.Engine, window: Window) -> int:
    """Writes the window's documents that are missing or differ from the counters, and returns how many there were.

    Frozen documents stay as they are. Whether the counters are right is not tested here: the check does that.

    Raises:
        HeadraceError: documents still differ; it names their campaigns.
    """
    wrong = _wrong_documents(engine, window)
    for start in range(0, len(wrong), MOST_CAMPAIGNS_AT_ONCE):
        execute(engine, _REFRESH, {"campaigns": wrong[start : start + MOST_CAMPAIGNS_AT_ONCE]})
    if wrong and (left := sorted(set(wrong) & set(_wrong_documents(engine, window)))):
        names = ", ".join(map(str, left[:10]))
        raise HeadraceError(
            f"documents of {len(left)} campaigns differ from their counters and stay so ({names}): "
            "delete their rows from headrace.campaign_computed_stats and materialize again"
        )
    return len(wrong)


def window_campaigns(engine: sa.Engine, window: Window, named: Sequence[UUID] = ()) -> list[Campaign]:
    """The window's campaigns and the named ones, newest first."""
    parameters = {**window.parameters, "named": list(named)}
    with snapshot(engine) as connection:
        return [
            Campaign(*row)
            for row in connection.exec_driver_sql(
                statement("campaign_stats", "campaigns_of_window"), parameters
            )
        ]


def portions(campaigns: Iterable[Campaign]) -> Iterator[list[Campaign]]:
    """Portions of campaigns to recompute in one transaction each: few campaigns, and not many messages.

    A campaign without stored messages has an unknown size, and goes alone.
    """
    portion: list[Campaign] = []
    messages = 0
    for campaign in campaigns:
        size = campaign.messages or MOST_MESSAGES_AT_ONCE
        if portion and (len(portion) >= MOST_CAMPAIGNS_AT_ONCE or messages + size > MOST_MESSAGES_AT_ONCE):
            yield portion
            portion, messages = [], 0
        portion.append(campaign)
        messages += size
    if portion:
        yield portion


def rebuild_campaigns(engine: sa.Engine, campaigns: Sequence[UUID]) -> int:
    """Recomputes campaigns from their source rows in one transaction, and returns how many messages or counters changed.

    Raises:
        HeadraceError: it failed, and so did the retries.
    """
    return int(execute(engine, [_REBUILD], {"campaigns": list(campaigns)}))


def _rebuild_portion(engine: sa.Engine, campaigns: Sequence[UUID], failed: dict[UUID, str]) -> int:
    """Like `rebuild_campaigns`, but if one fails it is added to `failed`, and the others are recomputed one by one."""
    try:
        return rebuild_campaigns(engine, campaigns)
    except HeadraceError as error:
        cause = error.__cause__
        if not isinstance(cause, sa.exc.DBAPIError) or not isinstance(cause.orig, psycopg.Error):
            raise
        found = verdict(cause.orig, campaigns)
        if found is Verdict.ENDS_ALL:
            raise
        if found is Verdict.AT_FAULT:
            failed[campaigns[0]] = str(error)
            return 0
    return sum(_rebuild_portion(engine, [campaign], failed) for campaign in campaigns)


def _drain(
    database_url: str, streams: Sequence[str], timeout_seconds: float, log: Callable[[str], None]
) -> Drained:
    return asyncio.run(drain(database_url, streams, timeout_seconds=timeout_seconds, sleep=telling(log)))


def telling(
    log: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Callable[[float], Awaitable[None]]:
    """A sleep that logs now and then that the stream is still being applied."""
    said = clock()

    async def sleep_and_tell(seconds: float) -> None:
        nonlocal said
        if clock() - said >= _SAY_EVERY_SECONDS:
            said = clock()
            log(f"stream {STREAM}: still at it")
        await sleep(seconds)

    return sleep_and_tell


def _is_behind(engine: sa.Engine, began: datetime) -> bool:
    """Whether a change that was there when it began is not applied yet, or the stream is stopped."""
    with snapshot(engine) as connection:
        now = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        shards = read_shards(connection, [STREAM])
    return any(
        shard.state != "active"
        or (
            (shard.rows_behind > 0 or shard.more_behind)
            and now - timedelta(seconds=shard.seconds_behind) <= began
        )
        for shard in shards
    )


def _wrong_documents(engine: sa.Engine, window: Window) -> list[UUID]:
    with snapshot(engine) as connection:
        found = connection.exec_driver_sql(statement("campaign_stats", "wrong_documents"), window.parameters)
        return list(found.scalars())
