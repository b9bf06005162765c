"""What stream_backlog decides, without a database and without Dagster."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from orchestration.dagster_kit.reporting import (
    CATCH_UP_EVERY,
    FIRST_DAYS_AFTER,
    LONGEST_CATCH_UP_DELAY,
    MOST_DAY_EVENTS,
    REPORT_CHANGES_EVERY,
    REPORT_DAY_EVERY,
    REPORT_QUIET_EVERY,
    Activity,
    CatchUpRuns,
    Cursor,
    Decision,
    Event,
    Reported,
    Seen,
    decide,
    is_due,
    read_cursor,
)

TEMPLATE_STATS, COMPUTED_STATS = BOTH = ("campaign_template_stats", "campaign_computed_stats")
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
YESTERDAY = TODAY - timedelta(days=1)
PARTITIONS = (date(2026, 2, 8), TODAY)
SECOND = timedelta(seconds=1)


def ago(delta: timedelta) -> datetime:
    return NOW - delta


def cursor(
    assets: dict[str, Reported] | None = None,
    days: dict[str, dict[date, Reported]] | None = None,
    *,
    catch_up_at: datetime | None = None,
    catch_ups: int = 0,
) -> Cursor:
    return Cursor(
        since=ago(timedelta(days=1)),
        assets=assets or {},
        days=days or {},
        catch_ups=catch_ups,
        catch_up_at=catch_up_at,
    )


def told(rows: int, before: timedelta) -> Reported:
    return Reported(rows=rows, at=ago(before))


def one(
    seen: Seen,
    known: Cursor,
    runs: CatchUpRuns | None = None,
    partitions: tuple[date, date] | None = PARTITIONS,
) -> Decision:
    """The decision about one asset alone."""
    return decide(seen, runs or CatchUpRuns(), partitions, known, [TEMPLATE_STATS], "campaign_stats")


def active(rows: int, day: date = TODAY) -> tuple[Activity, ...]:
    return (Activity(TEMPLATE_STATS, day, rows),)


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (None, True),
        (NOW, False),
        (NOW - 59 * SECOND, False),
        (NOW - 60 * SECOND, True),
        (NOW - timedelta(days=400), True),
        (NOW + SECOND, True),  # the clock was set back
        (NOW + timedelta(days=400), True),
    ],
)
def test_an_interval_is_over_when_it_passed_or_when_the_clock_was_set_back(
    last: datetime | None, due: bool
) -> None:
    assert is_due(last, NOW, timedelta(minutes=1)) is due


@pytest.mark.parametrize(
    ("rows", "known", "seen", "expected"),
    [
        pytest.param(5, None, {}, [5], id="first run with activity"),
        pytest.param(0, None, {}, [0], id="first run, nothing there: drained is up to date"),
        pytest.param(0, None, {"rows_behind": 1}, [], id="first run with a backlog and nothing applied"),
        pytest.param(9, (5, REPORT_CHANGES_EVERY), {}, [4], id="changed, a minute after the last report"),
        pytest.param(9, (5, REPORT_CHANGES_EVERY - SECOND), {}, [], id="changed, within the minute"),
        pytest.param(9, (5, REPORT_CHANGES_EVERY), {"rows_behind": 7}, [4], id="changed, while behind"),
        pytest.param(5, (5, REPORT_CHANGES_EVERY), {}, [], id="quiet, not yet half the window"),
        pytest.param(5, (5, REPORT_QUIET_EVERY), {}, [0], id="quiet is not late"),
        pytest.param(5, (5, REPORT_QUIET_EVERY), {"rows_behind": 1}, [], id="behind is not quiet"),
        pytest.param(5, (5, REPORT_QUIET_EVERY), {"rebuilds": 1}, [], id="a rebuild waits: not quiet"),
        pytest.param(5, (5, REPORT_QUIET_EVERY), {"blocked": True}, [], id="blocked is not quiet"),
        pytest.param(5, (5, REPORT_QUIET_EVERY), {"worker_alive": False}, [0], id="quiet without a worker"),
        pytest.param(3, (5, REPORT_CHANGES_EVERY), {}, [3], id="the total fell: another database, anew"),
        pytest.param(5, (5, -timedelta(hours=1)), {}, [0], id="reported in the future: due at once"),
    ],
)
def test_an_asset_is_reported_when_it_changed_or_is_quiet(
    rows: int, known: tuple[int, timedelta] | None, seen: dict[str, object], expected: list[int]
) -> None:
    before = {} if known is None else {TEMPLATE_STATS: told(*known)}
    # The day has no partition, so only the asset as a whole can be reported.
    activity = active(rows, date(2020, 1, 1)) if rows else ()
    decision = one(Seen(NOW, activity, **seen), cursor(before))  # type: ignore[arg-type]
    assert [(event.asset, event.day, event.rows_changed) for event in decision.events] == [
        (TEMPLATE_STATS, None, changed) for changed in expected
    ]
    if expected:
        assert decision.cursor.assets == {TEMPLATE_STATS: Reported(rows=rows, at=NOW)}
    else:
        assert decision.cursor.assets == before


@pytest.mark.parametrize(
    ("day", "rows", "known", "expected"),
    [
        pytest.param(TODAY, 5, None, [5], id="a day never reported"),
        pytest.param(TODAY, 5, (5, timedelta(days=3)), [], id="a day that did not change"),
        pytest.param(TODAY, 9, (5, REPORT_DAY_EVERY), [4], id="changed, an hour after the last report"),
        pytest.param(TODAY, 9, (5, REPORT_DAY_EVERY - SECOND), [], id="changed, within the hour"),
        pytest.param(PARTITIONS[0], 5, None, [5], id="the first partition"),
        pytest.param(PARTITIONS[0] - timedelta(days=1), 5, None, [], id="before the first partition"),
        pytest.param(TODAY + timedelta(days=1), 5, None, [], id="a partition that does not exist yet"),
    ],
)
def test_a_touched_day_is_reported_with_its_partition_at_most_hourly(
    day: date, rows: int, known: tuple[int, timedelta] | None, expected: list[int]
) -> None:
    known_days = {} if known is None else {TEMPLATE_STATS: {day: told(*known)}}
    quiet = {TEMPLATE_STATS: told(rows, SECOND)}
    decision = one(Seen(NOW, active(rows, day)), cursor(quiet, known_days))
    days = [event for event in decision.events if event.day]
    assert days == [Event(TEMPLATE_STATS, day, changed) for changed in expected]


@pytest.mark.parametrize(
    ("now", "last", "expected"),
    [
        pytest.param("12:00:00", None, True, id="the first report"),
        pytest.param("12:00:00", "11:59:00", True, id="the hour's first report"),
        pytest.param("12:59:59", "12:00:00", False, id="another one in the hour"),
        pytest.param("12:30:00", "13:30:00", True, id="a clock was set back"),
    ],
)
def test_a_report_of_all_has_a_picture_once_an_hour(now: str, last: str | None, expected: bool) -> None:
    at = datetime.fromisoformat(f"2026-03-05 {now}+00:00")
    before = datetime.fromisoformat(f"2026-03-05 {last}+00:00") if last else None
    known = {TEMPLATE_STATS: Reported(rows=1, at=before)} if before else {}
    decision = one(Seen(at, active(9, date(2020, 1, 1))), cursor(known))
    assert decision.events == (Event(TEMPLATE_STATS, None, 9 - bool(last), picture=expected),)


def test_the_event_of_all_follows_those_of_days_the_newest_last_for_the_ui_shows_the_last_one() -> None:
    known = cursor({TEMPLATE_STATS: told(10, SECOND)})
    activity = (*active(5), *active(5, YESTERDAY))
    events = one(Seen(NOW, activity), known).events
    assert [(event.day, event.rows_changed) for event in events] == [(YESTERDAY, 5), (TODAY, 5), (None, 0)]
    behind = one(Seen(NOW, activity, rows_behind=1), known).events
    assert [event.day for event in behind] == [YESTERDAY, TODAY], (
        "not all is applied: nothing to be said of it"
    )


@pytest.mark.parametrize(("rows_behind", "expected"), [(0, [TEMPLATE_STATS]), (5, [])])
def test_an_asset_whose_check_results_are_hidden_is_reported_at_once_unless_changes_wait(
    rows_behind: int, expected: list[str]
) -> None:
    known = cursor({TEMPLATE_STATS: told(100, SECOND), COMPUTED_STATS: told(0, SECOND)})
    seen = Seen(NOW, active(100), rows_behind=rows_behind)
    found = decide(seen, CatchUpRuns(), PARTITIONS, known, BOTH, "campaign_stats", {TEMPLATE_STATS})
    assert [event.asset for event in found.events if event.day is None] == expected


def test_a_day_becomes_due_once_it_has_a_partition() -> None:
    tomorrow = TODAY + timedelta(days=1)
    first = one(Seen(NOW, active(5, tomorrow)), cursor())
    assert [event.day for event in first.events] == [None]
    later = one(
        Seen(NOW + timedelta(days=1), active(5, tomorrow)),
        first.cursor,
        partitions=(PARTITIONS[0], tomorrow),
    )
    assert Event(TEMPLATE_STATS, tomorrow, 5) in later.events


def test_days_that_left_the_partitions_leave_the_cursor() -> None:
    old = PARTITIONS[0] - timedelta(days=1)
    known = cursor(days={TEMPLATE_STATS: {old: told(5, SECOND), TODAY: told(5, SECOND)}})
    seen = Seen(NOW, (*active(5, old), *active(5, TODAY)))
    assert list(one(seen, known).cursor.days[TEMPLATE_STATS]) == [TODAY]


def test_a_new_cursor_holds_days_back_for_the_first_materialization() -> None:
    fresh, _ = read_cursor(None, NOW)
    seen = Seen(NOW, active(5))
    at_once = one(seen, fresh)
    assert at_once.events == (Event(TEMPLATE_STATS, None, 5, picture=True),)
    later = one(Seen(NOW + FIRST_DAYS_AFTER, active(5)), at_once.cursor)
    assert [(event.day, event.rows_changed) for event in later.events] == [(TODAY, 5), (None, 0)]


def test_after_a_lost_cursor_not_all_days_come_in_one_tick() -> None:
    start = date(2025, 1, 1)
    days = [start + timedelta(days=number) for number in range(MOST_DAY_EVENTS + 7)]
    activity = tuple(Activity(TEMPLATE_STATS, day, 1) for day in days)
    first = one(Seen(NOW, activity), cursor(), partitions=(start, TODAY))
    second = one(Seen(NOW + 10 * SECOND, activity), first.cursor, partitions=(start, TODAY))
    told_first = [event.day for event in first.events if event.day]
    told_second = [event.day for event in second.events if event.day]
    assert len(told_first) == MOST_DAY_EVENTS
    assert sorted(told_first + told_second) == days


def test_a_decision_repeated_after_a_crash_is_the_same() -> None:
    seen = Seen(NOW, active(5), rows_behind=3, worker_alive=False)
    known = cursor()
    assert one(seen, known) == one(seen, known)


def test_what_was_reported_is_not_reported_again() -> None:
    seen = Seen(NOW, (*active(5), Activity(COMPUTED_STATS, TODAY, 5)))
    first = decide(seen, CatchUpRuns(), PARTITIONS, cursor(), BOTH, "campaign_stats")
    assert len(first.events) == 4
    assert decide(seen, CatchUpRuns(), PARTITIONS, first.cursor, BOTH, "campaign_stats").events == ()


def test_activity_of_other_domains_is_left_alone() -> None:
    seen = Seen(NOW, (Activity("archived_campaigns", TODAY, 5),), rows_behind=1)
    decision = one(seen, cursor())
    assert decision.events == ()
    assert decision.cursor.assets == {}
    assert decision.cursor.days == {}


BEHIND = {"rows_behind": 3, "worker_alive": False}


@pytest.mark.parametrize(
    ("seen", "runs", "requested_before", "requested"),
    [
        pytest.param(BEHIND, {}, None, True, id="changes behind and no worker"),
        pytest.param({"rebuilds": 1, "worker_alive": False}, {}, None, True, id="rebuilds and no worker"),
        pytest.param({**BEHIND, "worker_alive": True}, {}, None, False, id="a worker is at it"),
        pytest.param({"worker_alive": False}, {}, None, False, id="nothing to do"),
        pytest.param({**BEHIND, "blocked": True}, {}, None, False, id="a run could not help"),
        pytest.param(BEHIND, {"in_progress": True}, None, False, id="such a run is under way"),
        pytest.param(BEHIND, {}, CATCH_UP_EVERY - SECOND, False, id="requested a moment ago"),
        pytest.param(BEHIND, {}, CATCH_UP_EVERY, True, id="the last one is over, changes wait again"),
        pytest.param(BEHIND, {"failures": 1}, CATCH_UP_EVERY, False, id="after a failure: later"),
        pytest.param(BEHIND, {"failures": 1}, 2 * CATCH_UP_EVERY, True, id="after a failure: again"),
        pytest.param(BEHIND, {"failures": 10}, LONGEST_CATCH_UP_DELAY - SECOND, False, id="many: rarely"),
        pytest.param(BEHIND, {"failures": 10**6}, LONGEST_CATCH_UP_DELAY, True, id="many: never never"),
        pytest.param(BEHIND, {}, -timedelta(hours=1), True, id="requested in the future: clock set back"),
    ],
)
def test_a_catch_up_run_is_requested_where_changes_wait_and_no_worker_lives(
    seen: dict[str, object], runs: dict[str, object], requested_before: timedelta | None, requested: bool
) -> None:
    at = None if requested_before is None else ago(requested_before)
    known = cursor(catch_up_at=at, catch_ups=4)
    decision = one(Seen(NOW, **seen), known, CatchUpRuns(**runs))  # type: ignore[arg-type]
    assert (decision.catch_up is not None) is requested
    assert decision.cursor.catch_ups == (5 if requested else 4)
    assert decision.cursor.catch_up_at == (NOW if requested else at)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({"rows_behind": 1}, (TODAY, TODAY)),
        ({"rebuilds": 2, "rebuild_days": (YESTERDAY, YESTERDAY)}, (YESTERDAY, YESTERDAY)),
        ({"rows_behind": 1, "rebuilds": 2, "rebuild_days": (YESTERDAY, YESTERDAY)}, (YESTERDAY, TODAY)),
        ({"rebuilds": 2, "rebuild_days": (date(2001, 1, 1), YESTERDAY)}, (PARTITIONS[0], YESTERDAY)),
        ({"rebuilds": 2, "rebuild_days": (YESTERDAY, date(2030, 1, 1))}, (YESTERDAY, TODAY)),
        ({"rebuilds": 2, "rebuild_days": (date(2001, 1, 1), date(2002, 1, 1))}, (TODAY, TODAY)),
        ({"rebuilds": 2, "rebuild_days": (date(2030, 1, 1), date(2031, 1, 1))}, (TODAY, TODAY)),
        ({"rebuilds": 2, "rebuild_days": None}, (TODAY, TODAY)),
    ],
)
def test_a_catch_up_run_goes_over_the_days_that_wait_and_exist(
    seen: dict[str, object], expected: tuple[date, date]
) -> None:
    found = one(Seen(NOW, worker_alive=False, **seen), cursor()).catch_up  # type: ignore[arg-type]
    assert found is not None
    assert (found.first, found.last) == expected


def test_no_catch_up_run_is_requested_while_there_is_no_partition() -> None:
    decision = one(Seen(NOW, rows_behind=1, worker_alive=False), cursor(), partitions=None)
    assert decision.catch_up is None
    assert "HEADRACE_PARTITIONS_START" in decision.note


def test_each_catch_up_run_has_a_key_of_its_own_also_after_a_lost_cursor() -> None:
    keys = set()
    known = cursor()
    for number in range(3):
        seen = Seen(NOW + number * CATCH_UP_EVERY, rows_behind=1, worker_alive=False)
        decision = one(seen, known)
        assert decision.catch_up is not None
        keys.add(decision.catch_up.run_key)
        known = decision.cursor
    anew, _ = read_cursor(None, NOW)
    decision = one(Seen(NOW, rows_behind=1, worker_alive=False), anew)
    assert decision.catch_up is not None
    keys.add(decision.catch_up.run_key)
    assert len(keys) == 4


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]",
        "null",
        "{}",
        '{"since": "2026-03-10T12:00:00"}',
        '{"since": "2026-03-10T12:00:00Z", "assets": {"a": {"rows": -1, "at": "2026-03-10T12:00:00Z"}}}',
        '{"since": "2026-03-10T12:00:00Z", "from": "another version"}',
        '{"since": "2026-03-10T12:00:00Z", "days": {"a": {"no day": {"rows": 1}}}}',
    ],
)
def test_a_cursor_that_is_not_ours_starts_anew_and_says_so(text: str) -> None:
    found, problem = read_cursor(text, NOW)
    assert found == Cursor(since=NOW)
    assert problem is not None
    assert problem.startswith("the cursor is not one of ours")


@pytest.mark.parametrize("text", [None, ""])
def test_no_cursor_starts_anew_without_a_word(text: str | None) -> None:
    assert read_cursor(text, NOW) == (Cursor(since=NOW), None)


def test_a_cursor_survives_its_way_through_json() -> None:
    seen = Seen(NOW, (*active(5), *active(7, YESTERDAY)), rows_behind=1, worker_alive=False)
    after = one(seen, cursor()).cursor
    assert read_cursor(after.model_dump_json(), NOW + SECOND) == (after, None)


@pytest.mark.parametrize(
    ("seen", "runs", "words"),
    [
        ({}, {}, "everything is applied"),
        ({"rows_behind": 3}, {}, "a worker is at it"),
        ({"blocked": True}, {}, "headrace streams rebase campaign_stats"),
        (BEHIND, {"in_progress": True}, "a catch-up run is at it"),
        (BEHIND, {"failures": 2}, "after 2 failed catch-up runs"),
    ],
)
def test_the_note_says_how_things_stand(seen: dict[str, object], runs: dict[str, object], words: str) -> None:
    decision = one(Seen(NOW, **seen), cursor(), CatchUpRuns(**runs))  # type: ignore[arg-type]
    assert words in decision.note


STORED = (
    '{"since":"2026-03-09T12:00:00Z",'
    '"assets":{"campaign_template_stats":{"rows":7,"at":"2026-03-10T11:59:00.123456Z"}},'
    '"days":{"campaign_template_stats":{"2026-03-09":{"rows":5,"at":"2026-03-10T11:00:00Z"}}},'
    '"final":["2026-03-09"],"catch_ups":2,"catch_up_at":"2026-03-10T11:58:00Z"}'
)


def test_a_cursor_that_an_installed_dagster_has_is_read_and_written_as_it_was() -> None:
    found, problem = read_cursor(STORED, NOW)
    assert problem is None
    assert (found.catch_ups, found.final, found.others) == (2, [YESTERDAY], {})
    assert found.text() == STORED


def test_the_other_domains_cursors_stand_beside_the_first_ones() -> None:
    first, _ = read_cursor(STORED, NOW)
    both = first.model_copy(update={"others": {"toys": Cursor(since=NOW)}})
    assert read_cursor(both.text(), NOW) == (both, None)
