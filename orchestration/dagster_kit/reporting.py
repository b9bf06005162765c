"""What the sensor stream_backlog reports and requests, decided from what it has read.

The database keeps a running total of changed rows per asset and UTC day. The cursor remembers which totals
Dagster was told of, and when. The cursor is stored last: after a crash before that, the same decision is made
again.

Here: the decision, for one domain at a time. Not here: reading, and Dagster (sensors.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, ValidationError

# An asset is late if Dagster has not heard of it for this long. A quiet asset is not late: see REPORT_QUIET_EVERY.
FRESHNESS_WINDOW = timedelta(minutes=10)
FRESHNESS_WARNING = timedelta(minutes=8)

REPORT_CHANGES_EVERY = timedelta(minutes=1)
REPORT_QUIET_EVERY = FRESHNESS_WINDOW / 2
REPORT_DAY_EVERY = timedelta(hours=1)
# A new instance is about to materialize these days in its first run, which says more about them than the sensor can.
FIRST_DAYS_AFTER = timedelta(minutes=2)
# After a lost cursor every day is due at once; one tick reports no more than this.
MOST_DAY_EVENTS = 50

CATCH_UP_EVERY = timedelta(seconds=30)
LONGEST_CATCH_UP_DELAY = timedelta(minutes=15)
# Living runs log more often than this. Dagster itself needs hours to notice that a run's process was killed.
RUN_IS_DEAD_AFTER = timedelta(minutes=2)


class Reported(BaseModel):
    """What was reported last: the running total, and when (by the database's clock)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: NonNegativeInt
    at: AwareDatetime


class Cursor(BaseModel):
    """What Dagster was told, as the sensor stores it (JSON).

    since: when this cursor began. assets: per asset, summed over its days. days: per asset and day.
    final: days that were reported as final and still are.
    catch_ups, catch_up_at: how many catch-up runs were requested, and when the last one was.
    others: the same for the other domains. The first domain stays at the top level, as when it was the only one.
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
        """The cursor as it is stored."""
        return self.model_dump_json(exclude=None if self.others else {"others"})


@dataclass(frozen=True)
class Activity:
    """rows_changed: the running total of this asset and UTC day, inside and outside Dagster's runs."""

    asset: str
    day: date
    rows_changed: int


@dataclass(frozen=True)
class Seen:
    """What was read from the database at one moment.

    Attributes:
        now: the database's clock, with time zone.
        rows_behind: committed changes that the stream has not applied.
        seconds_behind: age of the oldest of them.
        rebuilds: how many items wait to be recomputed.
        rebuild_days: the first and last UTC day of these items; None if they have none.
        blocked: the stream cannot continue until an operator rebases it.
        worker_alive: a worker that serves the stream is running.
        final_days: past UTC days whose items are all frozen or gone. A day that gets something new later is no longer final
            until that is frozen too.
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
        in_progress: one of them is queued, or is running and logs (RUN_IS_DEAD_AFTER).
        failures: how many of the latest ones failed in a row.
    """

    in_progress: bool = False
    failures: int = 0


@dataclass(frozen=True)
class Event:
    """A materialization to report.

    Attributes:
        day: its partition; None: the whole asset.
        rows_changed: since the last report.
        picture: shows a picture of what is stored. Only once an hour, because Dagster keeps every picture.
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
    """cursor: stored after the rest was done. note: the situation in a sentence, for the tick."""

    events: tuple[Event, ...]
    catch_up: CatchUp | None
    cursor: Cursor
    note: str


def read_cursor(text: str | None, now: datetime) -> tuple[Cursor, str | None]:
    """The cursor, or a new one if there is none or it is unreadable; in the latter case also what is wrong with it."""
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
    """Whether the interval is over. Also true if the last time lies in the future, because a clock was set back."""
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
        hidden: assets whose check results Dagster no longer shows, because a run materialized them without their checks. A
            report brings the results back.
        partitions: the first and the last day that exist as partitions; None if there are none yet.
        assets: those to report on; activity of other assets belongs to another domain.
        stream: the one that keeps them up to date, for the note.
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
    """Rows changed since the report. If the total fell, the database was restored, and counting starts anew."""
    if reported is None or total < reported.rows:
        return total
    return total - reported.rows


def _whole_assets(
    seen: Seen, reported: Mapping[str, Reported], totals: Mapping[str, int], at_once: Set[str]
) -> tuple[list[Event], dict[str, Reported]]:
    """Events of whole assets. If days of an asset are reported, the asset follows them, because the UI shows its last event.

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
    """Events of days, what has been reported for each day by now, and the final days among them.

    Days without a partition are kept out of the cursor, so that a day is due as soon as it gets one.
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
        # For all assets at once, or later: the cursor only knows whether the day was reported as final.
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
    # If there are too many, the newest days are chosen. They are reported last, because the UI shows the last report.
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
    # Which days the pending changes touch is known only after they are applied; most touch the latest day.
    if seen.rows_behind or not affected:
        affected.append(partitions[1])
    # `since` keeps this cursor's keys apart from those of one that was reset: Dagster accepts a key only once.
    key = f"catch-up {cursor.since:%Y-%m-%dT%H:%M:%S.%f} {cursor.catch_ups + 1}"
    return CatchUp(min(affected), max(affected), key)


def _inside(days: Iterable[date], partitions: tuple[date, date]) -> Iterable[date]:
    """A range's ends, cut to the existing partitions; nothing if it lies outside."""
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
