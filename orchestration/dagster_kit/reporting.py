"""What the sensor stream_backlog reports and requests, decided from what was seen.

The database keeps, per asset and UTC day, a running total of changed rows. The cursor remembers which totals
Dagster was told of, and when. What is decided comes before the cursor: after a crash in between, the same is
decided again.

Here: the decision, of one domain at a time. Not here: reading, and Dagster (sensors.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, ValidationError

# An asset that Dagster has not heard of for so long is late. Quiet is not late: see REPORT_QUIET_EVERY.
FRESHNESS_WINDOW = timedelta(minutes=10)
FRESHNESS_WARNING = timedelta(minutes=8)

REPORT_CHANGES_EVERY = timedelta(minutes=1)
REPORT_QUIET_EVERY = FRESHNESS_WINDOW / 2
REPORT_DAY_EVERY = timedelta(hours=1)
# A new instance is about to materialize these days in a first run, which says more of them than we can.
FIRST_DAYS_AFTER = timedelta(minutes=2)
# After a lost cursor every day is due at once: not all in one tick.
MOST_DAY_EVENTS = 50

CATCH_UP_EVERY = timedelta(seconds=30)
LONGEST_CATCH_UP_DELAY = timedelta(minutes=15)
# Runs tell more often than this that they are at it. Dagster itself takes a run whose process was killed for a living one for hours.
RUN_IS_DEAD_AFTER = timedelta(minutes=2)


class Reported(BaseModel):
    """What was reported last: the running total, and when (the database's clock)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: NonNegativeInt
    at: AwareDatetime


class Cursor(BaseModel):
    """What Dagster was told, as the sensor keeps it (JSON).

    since: when this cursor began. assets: per asset, by the sum of its days. days: per asset and day.
    final: days that were reported as final and are so still.
    catch_ups, catch_up_at: how many catch-up runs were requested, and when the last one was.
    others: the same of the other domains; the first one's stands above, where it stood when it was alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime
    assets: dict[str, Reported] = {}
    days: dict[str, dict[date, Reported]] = {}
    final: list[date] = []
    catch_ups: NonNegativeInt = 0
    catch_up_at: AwareDatetime | None = None
    others: dict[str, Cursor] = {}

    def text(self) -> str:
        """As it is stored."""
        return self.model_dump_json(exclude=None if self.others else {"others"})


@dataclass(frozen=True)
class Activity:
    """rows_changed: of that asset and UTC day, outside Dagster's runs and in them, since ever."""

    asset: str
    day: date
    rows_changed: int


@dataclass(frozen=True)
class Seen:
    """One look at the database.

    Attributes:
        now: the database's clock, with time zone.
        rows_behind: committed changes that the stream has not applied.
        seconds_behind: age of the oldest of them.
        rebuilds: how much waits to be recomputed.
        rebuild_days: first and last UTC day that it is of; None where it is of none.
        blocked: the stream cannot go on before an operator rebases it.
        worker_alive: a worker that serves the stream runs.
        final_days: UTC days that are over and of which everything is frozen, or gone. A day that gets something new later is
            final no more, until that is frozen too.
    """

    now: datetime
    activity: tuple[Activity, ...] = ()
    rows_behind: int = 0
    seconds_behind: float = 0.0
    rebuilds: int = 0
    rebuild_days: tuple[date, date] | None = None
    blocked: bool = False
    worker_alive: bool = True
    final_days: frozenset[date] = frozenset()

    @property
    def drained(self) -> bool:
        return not (self.rows_behind or self.rebuilds or self.blocked)


@dataclass(frozen=True)
class CatchUpRuns:
    """What Dagster knows of earlier catch-up runs.

    Attributes:
        in_progress: one of them waits its turn, or is at it and says so (RUN_IS_DEAD_AFTER).
        failures: how many of the latest ones failed in a row.
    """

    in_progress: bool = False
    failures: int = 0


@dataclass(frozen=True)
class Event:
    """A materialization to report.

    Attributes:
        day: its partition; None: all of it.
        rows_changed: since the last one.
        picture: with a picture of what is stored: once an hour, for Dagster keeps all of them.
        final: the day will not change any more.
    """

    asset: str
    day: date | None
    rows_changed: int
    picture: bool = False
    final: bool = False


@dataclass(frozen=True)
class CatchUp:
    """A run to request, over the partitions first to last."""

    first: date
    last: date
    run_key: str


@dataclass(frozen=True)
class Decision:
    """cursor: to be stored after the rest was done. note: the state of things in a sentence, for the tick."""

    events: tuple[Event, ...]
    catch_up: CatchUp | None
    cursor: Cursor
    note: str


def read_cursor(text: str | None, now: datetime) -> tuple[Cursor, str | None]:
    """The cursor, a new one where there is none; and what is wrong with the old one if it was given up."""
    if not text:
        return Cursor(since=now), None
    try:
        return Cursor.model_validate_json(text), None
    except ValidationError as error:
        where = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in where["loc"])
        return Cursor(
            since=now
        ), f"the cursor is not one of ours ({place + ': ' if place else ''}{where['msg']})"


def is_due(last: datetime | None, now: datetime, interval: timedelta) -> bool:
    """Whether the interval is over; also where the last time lies in the future: a clock was set back."""
    return last is None or not timedelta(0) <= now - last < interval


def decide(
    seen: Seen,
    runs: CatchUpRuns,
    partitions: tuple[date, date] | None,
    cursor: Cursor,
    assets: Sequence[str],
    stream: str,
    hidden: Set[str] = frozenset(),
) -> Decision:
    """What to report and to request now.

    Args:
        hidden: assets of which Dagster shows no check results since a run materialized them without their checks: a report
            brings the results back.
        partitions: the first and the last day that exist as partitions; None where there are none yet.
        assets: those that are reported on; activity of others is another domain's.
        stream: which keeps them up to date, for the note.
    """
    totals = {asset: sum(a.rows_changed for a in seen.activity if a.asset == asset) for asset in assets}
    days, days_reported, final = _days(seen, cursor, partitions, assets)
    whole, assets_reported = _whole_assets(
        seen, cursor.assets, totals, {event.asset for event in days} | hidden
    )
    catch_up = _catch_up(seen, runs, partitions, cursor)
    return Decision(
        events=(*days, *whole),
        catch_up=catch_up,
        cursor=Cursor(
            since=cursor.since,
            assets=assets_reported,
            days=days_reported,
            final=final,
            catch_ups=cursor.catch_ups + (catch_up is not None),
            catch_up_at=seen.now if catch_up is not None else cursor.catch_up_at,
        ),
        note=_note(seen, runs, partitions, len(whole) + len(days), stream),
    )


def _changed(total: int, reported: Reported | None) -> int:
    """Rows changed since the report. A total that fell is a restored database's: it starts anew."""
    if reported is None or total < reported.rows:
        return total
    return total - reported.rows


def _whole_assets(
    seen: Seen, reported: Mapping[str, Reported], totals: Mapping[str, int], at_once: Set[str]
) -> tuple[list[Event], dict[str, Reported]]:
    """An asset whose days are reported is so too, after them: its last event is what the UI shows of it.

    Args:
        at_once: assets that do not wait for their interval.
    """
    events: list[Event] = []
    after: dict[str, Reported] = {}
    for asset, total in totals.items():
        last = reported.get(asset)
        at = last.at if last else None
        changed = _changed(total, last)
        interval = REPORT_CHANGES_EVERY if changed else REPORT_QUIET_EVERY
        if (changed or seen.drained) and (asset in at_once or is_due(at, seen.now, interval)):
            events.append(Event(asset, None, changed, picture=at is None or _hour(at) != _hour(seen.now)))
            after[asset] = Reported(rows=total, at=seen.now)
        elif last is not None:
            after[asset] = last
    return events, after


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _days(
    seen: Seen, cursor: Cursor, partitions: tuple[date, date] | None, assets: Sequence[str]
) -> tuple[list[Event], dict[str, dict[date, Reported]], list[date]]:
    """Events of days, what was reported of days by now, and the final ones among them.

    Days that have no partition are kept out of the cursor: where one gets a partition, it is due.
    """
    events: list[Event] = []
    after: dict[str, dict[date, Reported]] = {asset: {} for asset in assets}
    final: list[date] = []
    waiting = not is_due(cursor.since, seen.now, FIRST_DAYS_AFTER)
    rows = {(a.asset, a.day): a.rows_changed for a in seen.activity if a.asset in after}
    for day in sorted({*(day for _, day in rows), *seen.final_days}, reverse=True):
        if partitions is None or not partitions[0] <= day <= partitions[1]:
            continue
        is_final = day in seen.final_days
        # Of every asset at once, or later: the cursor knows only whether the day was reported as final.
        becomes_final = (
            is_final
            and day not in cursor.final
            and not waiting
            and len(events) + len(assets) <= MOST_DAY_EVENTS
        )
        for asset in assets:
            total = rows.get((asset, day), 0)
            last = cursor.days.get(asset, {}).get(day)
            changed = _changed(total, last)
            due = changed and is_due(last.at if last else None, seen.now, REPORT_DAY_EVERY)
            if becomes_final or (due and not waiting and len(events) < MOST_DAY_EVENTS):
                events.append(Event(asset, day, changed, final=is_final))
                last = Reported(rows=total, at=seen.now)
            if last is not None:
                after[asset][day] = last
        if is_final and (becomes_final or day in cursor.final):
            final.append(day)
    # The newest days come first if there are many, and are told last: the UI shows what was told last.
    return (
        sorted(events, key=lambda event: event.day or date.min),
        {asset: days for asset, days in after.items() if days},
        sorted(final),
    )


def _catch_up(
    seen: Seen, runs: CatchUpRuns, partitions: tuple[date, date] | None, cursor: Cursor
) -> CatchUp | None:
    if seen.drained or seen.blocked or seen.worker_alive or runs.in_progress or partitions is None:
        return None
    delay = min(CATCH_UP_EVERY * 2 ** min(runs.failures, 10), LONGEST_CATCH_UP_DELAY)
    if not is_due(cursor.catch_up_at, seen.now, delay):
        return None
    affected = [*_inside(seen.rebuild_days or (), partitions)]
    # Which days the changes behind touch, only applying them tells: most touch the latest.
    if seen.rows_behind or not affected:
        affected.append(partitions[1])
    # `since` tells the keys of this cursor from those of one that was reset: a key is good once.
    key = f"catch-up {cursor.since:%Y-%m-%dT%H:%M:%S.%f} {cursor.catch_ups + 1}"
    return CatchUp(min(affected), max(affected), key)


def _inside(days: Iterable[date], partitions: tuple[date, date]) -> Iterable[date]:
    """A range's ends, cut to what exists; nothing where it lies outside."""
    ends = tuple(days)
    if ends and ends[0] <= partitions[1] and ends[-1] >= partitions[0]:
        yield max(ends[0], partitions[0])
        yield min(ends[-1], partitions[1])


def _note(
    seen: Seen, runs: CatchUpRuns, partitions: tuple[date, date] | None, events: int, stream: str
) -> str:
    reported = f"{events} materializations reported" if events else "nothing new to report"
    if seen.blocked:
        return (
            f"stream {stream} is blocked: the database was restored or cloned, or the stream was idle "
            f"for too long; run: headrace streams rebase {stream}; {reported}"
        )
    if seen.drained:
        return f"everything is applied; {reported}"
    behind = f"{seen.rows_behind} changes ({seen.seconds_behind:.0f} s) and {seen.rebuilds} rebuilds behind"
    if seen.worker_alive:
        return f"{behind}; a worker is at it; {reported}"
    if runs.in_progress:
        return f"{behind}, no worker; a catch-up run is at it; {reported}"
    if partitions is None:
        return (
            f"{behind}, no worker, and no day to catch up: HEADRACE_PARTITIONS_START lies ahead; {reported}"
        )
    failed = f" after {runs.failures} failed catch-up runs" if runs.failures else ""
    return f"{behind}, no worker; the next catch-up run waits its turn{failed}; {reported}"
