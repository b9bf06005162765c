"""What completed_campaigns decides, without a database and without Dagster."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from orchestration.campaign_stats.completions import Cursor, Noticed, Place, decide, read_cursor, run_key

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
PLACE = Place(NOW, 7, "app", "700:720:705,710")
CURSOR = Cursor(since=NOW - timedelta(days=1), cluster=7, database="app", seen="600:610:")
ONE = (UUID(int=1),)
MARCH_1, MARCH_3 = date(2026, 3, 1), date(2026, 3, 3)


def test_completions_become_one_run_over_their_days_that_names_them() -> None:
    decision = decide(Noticed(3, 0, 3, MARCH_1, MARCH_3, ONE), CURSOR, "700:720:")
    assert decision.request is not None
    assert (decision.request.first, decision.request.last) == (MARCH_1, MARCH_3)
    assert decision.request.campaigns == ONE
    assert decision.request.until == decision.cursor.seen == "700:720:"
    assert decision.cursor.since == CURSOR.since


def test_the_key_is_of_the_cursor_whatever_the_tick_sees() -> None:
    few = decide(Noticed(1, 0, 1, MARCH_1, MARCH_1, ONE), CURSOR, "700:720:")
    more = decide(Noticed(9, 0, 9, MARCH_1, MARCH_3, ONE), CURSOR, "700:725:")
    assert few.request is not None
    assert more.request is not None
    assert few.request.run_key == more.request.run_key == run_key(CURSOR)
    assert run_key(few.cursor) != run_key(CURSOR)
    reset = CURSOR.model_copy(update={"since": NOW})
    assert run_key(reset) != run_key(CURSOR)


@pytest.mark.parametrize(
    ("noticed", "said"),
    [
        (Noticed(), "no campaign was completed since the last look"),
        (Noticed(2, 2), "2 campaigns were completed, 2 of them deleted since"),
        (Noticed(3, 1, 0, None, None, ONE), "2 of them created on days without a partition"),
    ],
)
def test_nothing_to_materialize_is_said_and_the_cursor_goes_on(noticed: Noticed, said: str) -> None:
    decision = decide(noticed, CURSOR, "700:720:")
    assert decision.request is None
    assert said in decision.note
    assert decision.cursor.seen == "700:720:"


def test_campaigns_without_a_partition_are_named_in_the_run_of_others() -> None:
    decision = decide(Noticed(2, 0, 1, MARCH_3, MARCH_3, (UUID(int=1), UUID(int=2))), CURSOR, "700:720:")
    assert decision.request is not None
    assert len(decision.request.campaigns) == 2
    assert "1 of them created on days without a partition" in decision.note


def test_a_first_look_sees_nothing_as_seen() -> None:
    cursor, problem = read_cursor(None, PLACE)
    assert (cursor.seen, cursor.since, problem) == (None, NOW, None)
    assert "a first look" in decide(Noticed(), cursor, PLACE.snapshot).note


def test_a_cursor_is_read_back_as_it_was_written() -> None:
    assert read_cursor(CURSOR.model_dump_json(), PLACE) == (CURSOR, None)
    busy = CURSOR.model_copy(update={"seen": PLACE.snapshot})
    assert read_cursor(busy.model_dump_json(), PLACE) == (busy, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cluster": 8}, "of another database"),
        ({"database": "copy"}, "of another database"),
        ({"seen": "600:721:"}, "lies in the future"),
        ({"seen": "'; DROP TABLE"}, "not one of ours (seen"),
        ({"since": None}, "not one of ours (since"),
    ],
)
def test_a_cursor_of_another_life_starts_anew_and_says_why(change: dict[str, object], said: str) -> None:
    text = CURSOR.model_copy(update=change).model_dump_json(warnings=False)
    cursor, problem = read_cursor(text, PLACE)
    assert cursor == Cursor(since=NOW, cluster=7, database="app", seen=None)
    assert problem is not None
    assert said in problem


def test_a_cursor_of_another_version_starts_anew() -> None:
    cursor, problem = read_cursor("{ of another version", PLACE)
    assert cursor.seen is None
    assert problem is not None
    assert "not one of ours" in problem
