"""stream_backlog for two domains: campaign statistics, and a domain made for the test, against the real database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from orchestration.campaign_stats.sensors import kept
from orchestration.dagster_kit.partitions import utc_days
from orchestration.dagster_kit.reporting import Cursor, Event
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.sensors import Kept, stream_backlog
from orchestration.definitions import defs

TOYS = Kept(
    domain="toys",
    stream="toys",
    noun="toys",
    assets=("toy_counts",),
    partitions=utc_days,
    checks=(),
    read_rebuilds=lambda connection: (0, None, None),
    read_final_days=lambda connection, first, last: set(),
    final="nobody plays any more.",
    read_summary=lambda connection, event: event.rows_changed,
    show_summary=lambda event, found: {"toys": found},
)
LONG_AGO = datetime.now(UTC) - timedelta(days=1)


@dg.asset(name="toy_counts", partitions_def=utc_days)
def toy_counts() -> None: ...


@pytest.fixture
def application(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database)
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def play(application: psycopg.Connection[Any], rows: int = 3) -> None:
    """Activates the second domain, with something to report."""
    application.execute(
        "CREATE FUNCTION headrace.toys_apply(headrace.change_log[]) RETURNS void LANGUAGE sql AS ''"
    )
    application.execute("SELECT headrace.register_stream('toys', '{campaigns}', 'headrace.toys_apply')")
    application.execute(
        "INSERT INTO headrace.activity (asset, partition_day, rows_changed, changed_at) VALUES ('toy_counts', %s, %s, now())",
        [datetime.now(UTC).date(), rows],
    )


def tick(domains: list[Kept], cursor: str | None) -> Any:
    definitions = dg.Definitions(
        assets=[*(defs.assets or ()), toy_counts], resources={"database": ApplicationDatabase()}
    )
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            definitions=definitions,
            resources={"database": ApplicationDatabase()},
        )
        return stream_backlog(domains).evaluate_tick(context)


def reported(result: Any) -> set[tuple[str, str | None]]:
    return {(event.asset_key.to_user_string(), event.partition) for event in result.asset_events}


def test_one_tick_reports_what_both_domains_keep_and_the_next_one_nothing_twice(
    application: psycopg.Connection[Any],
) -> None:
    play(application)
    first = tick([kept, TOYS], Cursor(since=LONG_AGO, others={"toys": Cursor(since=LONG_AGO)}).text())
    today = str(datetime.now(UTC).date())
    assert reported(first) == {(asset, None) for asset in (*kept.assets, "toy_counts")} | {
        ("toy_counts", today)
    }
    (toys,) = [e for e in first.asset_events if e.asset_key.path == ["toy_counts"] and not e.partition]
    assert toys.metadata["toys"].value == toys.metadata["rows_changed"].value == 3
    assert first.skip_message == (
        "campaign_stats: everything is applied; 2 materializations reported; "
        "toys: everything is applied; 2 materializations reported"
    )
    assert reported(tick([kept, TOYS], first.cursor)) == set()


def test_a_domain_that_is_not_active_changes_nothing_for_the_others(
    application: psycopg.Connection[Any],
) -> None:
    alone = tick([kept], None)
    beside = tick([kept, TOYS], None)
    assert reported(beside) == reported(alone) == {(asset, None) for asset in kept.assets}
    assert beside.skip_message == alone.skip_message
    assert set(Cursor.model_validate_json(beside.cursor).assets) == set(kept.assets)
    assert "others" not in beside.cursor


def test_a_cursor_of_the_first_domain_alone_is_taken_over(application: psycopg.Connection[Any]) -> None:
    alone = tick([kept], None)
    play(application)
    both = tick([kept, TOYS], alone.cursor)
    assert reported(both) == {("toy_counts", None)}
    stored = Cursor.model_validate_json(both.cursor)
    assert stored.assets == Cursor.model_validate_json(alone.cursor).assets
    assert set(stored.others["toys"].assets) == {"toy_counts"}


def test_where_none_is_active_the_tick_says_so_of_each(application: psycopg.Connection[Any]) -> None:
    application.execute("DELETE FROM headrace.stream")
    said = tick([kept, TOYS], None).skip_message
    assert said.count("are not active in this database") == 2


def test_two_domains_ask_for_runs_of_their_own_with_keys_of_their_own(
    application: psycopg.Connection[Any],
) -> None:
    play(application)
    application.execute("INSERT INTO campaigns (name) VALUES ('c')")
    asked = tick([kept, TOYS], Cursor(since=LONG_AGO, others={"toys": Cursor(since=LONG_AGO)}).text())
    first, second = asked.run_requests
    assert second.run_key == f"toys {first.run_key}"
    assert (first.tags["headrace/catch_up"], second.tags["headrace/catch_up"]) == ("campaign_stats", "toys")
    assert [key.to_user_string() for key in second.asset_selection] == ["toy_counts"]


def test_a_final_day_is_said_in_the_domains_words(application: psycopg.Connection[Any]) -> None:
    play(application)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)

    def final_days(connection: object, first: date, last: date) -> set[date]:
        assert last == yesterday
        return {yesterday}

    toys = replace(TOYS, read_final_days=final_days)
    found = tick([toys], Cursor(since=LONG_AGO).text())
    (event,) = [event for event in found.asset_events if event.partition == str(yesterday)]
    assert event.description == "Final: nobody plays any more."
    assert event.metadata["final"].value is True
    assert Event("toy_counts", yesterday, 0, final=True).day == yesterday
