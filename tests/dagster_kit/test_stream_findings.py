"""How much may wait in a stream, judged without a database and without Dagster."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from orchestration.dagster_kit.findings import MOST_ROWS, Listing
from orchestration.dagster_kit.stream_findings import (
    Lag,
    LagLimits,
    Rebuilt,
    judge_capture,
    judge_lag,
    judge_letters,
    judge_stray_days,
)
from orchestration.engine.backlog import FailedRebuild, Letter, Letters, Rebuilds, Shard, StrayDay, Writer
from orchestration.engine.capture import Fault
from orchestration.text import age

LIMITS = LagLimits(rows=100, seconds=60, writer_seconds=300, rebuild_seconds=3600)
SYMBOLS = Rebuilt(
    one="symbol", many="symbols", until_then="until then they are shown as old", mend="headrace fetch"
)


def shard(rows: int, seconds: float, state: str = "active", *, more: bool = False) -> Shard:
    return Shard("prices", 0, state, rows, seconds, more)


def lag(
    *shards: Shard, writer: Writer | None = None, workers: int = 1, rebuilds: Rebuilds | None = None
) -> Lag:
    return Lag(shards, writer, workers, rebuilds or Rebuilds())


def test_a_stream_within_its_limits_passes_in_the_domains_words() -> None:
    found = judge_lag(lag(shard(100, 60.0)), "prices", SYMBOLS, LIMITS)
    assert found.passed
    assert found.sentence == "stream prices is 100 changes and 60 s behind, 0 symbols wait for their rebuild"


@pytest.mark.parametrize(
    "seen", [shard(101, 0.0), shard(100, 0.0, more=True), shard(1, 60.1)], ids=["rows", "uncounted", "age"]
)
def test_more_than_a_limit_is_severe(seen: Shard) -> None:
    found = judge_lag(lag(seen), "prices", SYMBOLS, LIMITS)
    assert (found.passed, found.severe) == (False, True)


@pytest.mark.parametrize(
    ("state", "words"),
    [("lost", "lost its place in the change log"), ("mismatch", "stands in another cluster")],
)
def test_a_stream_that_cannot_go_on_says_what_to_run_and_not_how_far_it_is(state: str, words: str) -> None:
    found = judge_lag(lag(shard(900, 900.0, state)), "prices", SYMBOLS, LIMITS)
    assert found.severe
    assert words in found.sentence
    assert found.sentence.endswith("run: headrace streams rebase prices")


def test_a_stream_that_is_not_there_says_what_to_run() -> None:
    assert (
        judge_lag(lag(), "prices", SYMBOLS, LIMITS).sentence == "stream prices is not there: headrace migrate"
    )


def test_everything_at_once_is_one_error_that_names_all_of_it() -> None:
    failed = tuple(FailedRebuild(f"S{n}", 1, None, "22003 out of range") for n in range(9))
    seen = lag(
        shard(101, 7000.0),
        writer=Writer(17, "app", "", 4000.0),
        workers=0,
        rebuilds=Rebuilds(3, 9000.0, failed, all_failed=300),
    )
    found = judge_lag(seen, "prices", SYMBOLS, LIMITS)
    assert not found.passed
    assert found.severe
    for words in (
        "101 changes and 117 min behind; no worker is running: headrace worker",
        "300 symbols cannot be rebuilt: symbol S0 (22003 out of range; 1 tries)",
        "and 295 more; once the cause is mended: headrace fetch",
        "3 symbols wait for their rebuild, the longest for 2 h; until then they are shown as old",
        "pid 17 (without a name, role app) has been writing for 67 min",
    ):
        assert words in found.sentence
    assert found.listings["failed_rebuild_table"].total == 300
    assert found.listings["failed_rebuild_table"].columns["symbol"] == "string"


def test_only_an_old_writer_or_a_long_wait_is_untidy() -> None:
    for seen in (
        lag(shard(0, 0.0), writer=Writer(17, "app", "import", 301.0)),
        lag(shard(0, 0.0), rebuilds=Rebuilds(1, 3601.0)),
    ):
        found = judge_lag(seen, "prices", SYMBOLS, LIMITS)
        assert (found.passed, found.severe) == (False, False)


def test_a_writer_whose_age_may_not_be_known_is_named_with_a_lag_but_no_fault_by_itself() -> None:
    writer = Writer(17, "app", "psql", None)
    assert judge_lag(lag(shard(0, 0.0), writer=writer), "prices", SYMBOLS, LIMITS).passed
    found = judge_lag(lag(shard(5, 61.0), writer=writer), "prices", SYMBOLS, LIMITS)
    assert found.sentence == (
        "stream prices is 5 changes and 61 s behind. "
        "oldest writer: pid 17 (psql, role app) has been writing for an unknown time"
    )


def test_a_prepared_transaction_is_said_with_how_it_is_ended() -> None:
    writer = Writer(None, "app", "", 400.0, "it's")
    assert "(forgotten? ROLLBACK PREPARED 'it''s')" in str(writer)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7300, "2 h"), (300_000, "3 days")]
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert age(seconds) == words


def test_many_letters_are_cut_and_counted() -> None:
    since = datetime(2026, 3, 1, tzinfo=UTC)
    letters = tuple(
        Letter(n, "messages", "I", str(n), "failed", 1, since, None, "22003 " + "x" * 999)
        for n in range(MOST_ROWS)
    )
    found = judge_letters(Letters(letters, all=5000, waiting=7), "prices")
    assert found.listings["letter_table"].total == 5000
    assert found.numbers == {"dead_letters": 5000, "waiting_behind_others": 7}
    assert "stream prices has 5,000 dead letters, the oldest since 2026-03-01 00:00:00" in found.sentence
    assert len(found.sentence) < 600


def test_without_letters_it_passes() -> None:
    assert judge_letters(Letters(), "prices").passed


def test_more_changes_in_default_than_are_counted_are_said_to_be_more() -> None:
    found = judge_stray_days([StrayDay(date(2026, 11, 26), 100_000, ["campaigns"], more=True)])
    assert "without a partition: 2026-11-26 (100,000), and more. " in found.sentence
    assert judge_stray_days([]).passed


def test_capture_of_one_table_is_judged_by_its_own_faults() -> None:
    faults = [Fault("messages", "disabled", True, "messages", "insert")]
    assert judge_capture(faults, "campaigns").passed
    found = judge_capture(faults, "messages")
    assert (found.passed, found.severe, found.numbers) == (False, True, {"faults": 1})


def test_a_lists_columns_have_the_types_of_what_stands_in_them() -> None:
    listing = Listing.of(("name", "rows", "share", "nothing"), [(None, 1, 0.5, None), ("a", 2, None, None)])
    assert listing.columns == {"name": "string", "rows": "int", "share": "float", "nothing": "string"}
