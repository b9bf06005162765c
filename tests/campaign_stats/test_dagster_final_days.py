"""When stream_backlog reports a day as final, without a database and without Dagster."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from orchestration.campaign_stats.summaries import ASSETS
from orchestration.dagster_kit.reporting import (
    FIRST_DAYS_AFTER,
    MOST_DAY_EVENTS,
    REPORT_DAY_EVERY,
    Activity,
    CatchUpRuns,
    Cursor,
    Decision,
    Event,
    Seen,
    decide,
    read_cursor,
)

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
DAY = date(2026, 3, 3)
PARTITIONS = (date(2026, 2, 8), TODAY)
TICK = timedelta(seconds=10)


def known(since: timedelta = timedelta(days=1)) -> Cursor:
    return Cursor(since=NOW - since)


def see(
    *final: date, rows: int = 0, at: datetime = NOW, cursor: Cursor | None = None, first: date = PARTITIONS[0]
) -> Decision:
    """The decision if these days are final and `rows` is DAY's running total of changed rows."""
    activity = tuple(Activity(asset, DAY, rows) for asset in ASSETS) if rows else ()
    seen = Seen(at, activity, final_days=frozenset(final))
    return decide(seen, CatchUpRuns(), (first, TODAY), cursor or known(), ASSETS, "campaign_stats")


def of_days(decision: Decision) -> list[Event]:
    return [event for event in decision.events if event.day is not None]


def test_a_day_that_becomes_final_is_reported_of_every_asset_once() -> None:
    first = see(DAY)
    assert of_days(first) == [Event(asset, DAY, 0, final=True) for asset in ASSETS]
    assert first.cursor.final == [DAY]
    assert of_days(see(DAY, cursor=first.cursor, at=NOW + 2 * REPORT_DAY_EVERY)) == []


def test_it_does_not_wait_for_the_hour_of_a_touched_day_to_be_over() -> None:
    touched = see(rows=5)
    assert of_days(touched) == [Event(asset, DAY, 5) for asset in ASSETS]
    final = see(DAY, rows=6, at=NOW + TICK, cursor=touched.cursor)
    assert of_days(final) == [Event(asset, DAY, 1, final=True) for asset in ASSETS]
    assert of_days(see(DAY, rows=6, at=NOW + 2 * REPORT_DAY_EVERY, cursor=final.cursor)) == []


def test_an_amendment_of_a_final_day_is_reported_as_a_touched_day_that_is_final() -> None:
    final = see(DAY, rows=6)
    soon = see(DAY, rows=7, at=NOW + TICK, cursor=final.cursor)
    assert of_days(soon) == []
    later = see(DAY, rows=7, at=NOW + REPORT_DAY_EVERY, cursor=soon.cursor)
    assert of_days(later) == [Event(asset, DAY, 1, final=True) for asset in ASSETS]


def test_a_day_that_gets_another_campaign_is_final_again_when_that_one_is() -> None:
    final = see(DAY, rows=6)
    reopened = see(rows=8, at=NOW + REPORT_DAY_EVERY, cursor=final.cursor)
    assert of_days(reopened) == [Event(asset, DAY, 2, final=False) for asset in ASSETS]
    assert reopened.cursor.final == []
    again = see(DAY, rows=8, at=NOW + REPORT_DAY_EVERY + TICK, cursor=reopened.cursor)
    assert of_days(again) == [Event(asset, DAY, 0, final=True) for asset in ASSETS]


def test_days_without_a_partition_are_not_reported_until_they_have_one() -> None:
    decision = see(date(2020, 1, 1), date(2030, 1, 1))
    assert of_days(decision) == []
    assert decision.cursor.final == []
    early = date(2020, 1, 1)
    assert [event.day for event in of_days(see(early, first=early, cursor=decision.cursor))] == [early, early]


def test_the_first_minutes_are_left_to_the_first_run() -> None:
    young = known(FIRST_DAYS_AFTER - TICK)
    waiting = see(DAY, cursor=young)
    assert of_days(waiting) == []
    assert len(of_days(see(DAY, at=NOW + TICK, cursor=waiting.cursor))) == len(ASSETS)


def test_many_final_days_come_in_several_ticks_each_day_whole() -> None:
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(MOST_DAY_EVENTS)]
    told: list[Event] = []
    cursor = known()
    for number in range(3):
        decision = see(*days, first=days[0], at=NOW + number * TICK, cursor=cursor)
        assert len(of_days(decision)) <= MOST_DAY_EVENTS
        told += of_days(decision)
        cursor = decision.cursor
    assert sorted((event.day, event.asset) for event in told if event.day) == sorted(
        (day, asset) for day in days for asset in ASSETS
    )
    assert cursor.final == days


def test_a_cursor_with_final_days_survives_its_way_through_json_and_one_without_is_read() -> None:
    after = see(DAY).cursor
    assert read_cursor(after.model_dump_json(), NOW) == (after, None)
    assert read_cursor('{"since": "2026-03-10T12:00:00Z"}', NOW) == (Cursor(since=NOW), None)
