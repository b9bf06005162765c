"""The check "stored equals recomputed": it passes if the numbers are right, and it can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import dagster as dg
import psycopg
import pytest

from orchestration.campaign_stats import comparison
from orchestration.campaign_stats.assets import campaign_template_stats
from orchestration.campaign_stats.checks import stored_equals_recomputed
from orchestration.campaign_stats.comparison import (
    MOST_SNAPSHOTS,
    Candidate,
    Comparison,
    Difference,
    choose,
    compare,
    differences,
    judge_comparison,
)
from orchestration.campaign_stats.counters import COUNTERS, Counters
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.database.connections import engine
from orchestration.database.transactions import snapshot
from orchestration.errors import HeadraceError
from tests.campaign_stats.conftest import Application

CAMPAIGN = uuid4()


def evaluate(config: Mapping[str, object] | None = None) -> tuple[dg.AssetCheckEvaluation, dict[str, Any]]:
    """The check's result for the environment's database, and the values of its metadata."""
    name = "campaign_template_stats_stored_equals_recomputed"
    result = dg.materialize(
        [campaign_template_stats, stored_equals_recomputed],
        selection=dg.AssetSelection.checks(stored_equals_recomputed),
        resources={"database": ApplicationDatabase()},
        run_config={"ops": {name: {"config": dict(config)}}} if config else {},
    )
    (found,) = result.get_asset_check_evaluations()
    return found, {key: value.value for key, value in found.metadata.items()}


def listed(found: dg.AssetCheckEvaluation) -> list[tuple[object, ...]]:
    """The table of differences."""
    table = found.metadata["difference_table"]
    assert isinstance(table, dg.TableMetadataValue)
    return [tuple(record.data.values()) for record in table.records]


def campaigns_of(found: dg.AssetCheckEvaluation, table: str) -> list[object]:
    listing = found.metadata[table]
    assert isinstance(listing, dg.TableMetadataValue)
    return [record.data["campaign"] for record in listing.records]


def corrupt(
    application: Application, campaign: UUID, counter: str = "failed", by: int = 1
) -> tuple[str, int]:
    """Changes a stored counter of the campaign without a trace, and returns the template and the new value."""
    return application.rows(
        f"UPDATE headrace.campaign_template_stats s SET {counter} = {counter} + %s WHERE ctid = ("
        f" SELECT ctid FROM headrace.campaign_template_stats WHERE campaign_id = %s"
        f" AND {counter} < total - delivered ORDER BY total DESC LIMIT 1) RETURNING template_name, {counter}",
        [by, campaign],
    )[0]


def test_the_check_applies_what_waits_and_passes(application: Application) -> None:
    found, told = evaluate()
    assert found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert told["campaigns_compared"] == len(application.campaigns)
    assert told["messages_compared"] == sum(c.rows["send_queue"] for c in application.campaigns)
    for nothing in ("differences", "rows_behind", "left_out_pending_rebuild", "left_out_pending_changes"):
        assert told[nothing] == 0
    assert "stored equals recomputed" in str(found.description)


def test_the_check_fails_naming_campaign_template_counter_and_both_numbers(application: Application) -> None:
    application.drain()
    campaign = application.campaigns[1].id
    template, stored = corrupt(application, campaign)
    found, told = evaluate()
    assert not found.passed
    expected = f"campaign {campaign}, template {template}, failed: stored {stored}, recomputed {stored - 1}"
    assert found.description == expected
    assert told["differences"] == 1
    assert listed(found) == [(str(campaign), template, "failed", stored, stored - 1)]


def test_the_check_sees_stored_rows_that_are_missing_or_too_many(application: Application) -> None:
    application.drain()
    first, second = (campaign.id for campaign in application.campaigns[:2])
    application.rows("DELETE FROM headrace.campaign_template_stats WHERE campaign_id = %s", [first])
    application.rows(
        "INSERT INTO headrace.campaign_template_stats VALUES (%s, NULL, 1, 0, 0, 0, 0, 0, 0, now(), headrace.template_md5(NULL))",
        [second],
    )
    found, _ = evaluate()
    rows = listed(found)
    assert {row[0] for row in rows} == {str(first), str(second)}
    assert (str(second), "", "total", 1, 0) in rows


def test_the_check_sees_what_was_never_captured(application: Application) -> None:
    application.drain()
    # As in a database whose triggers were disabled for a while.
    application.rows("ALTER TABLE message_status_logs DISABLE TRIGGER ALL")
    application.rows("DELETE FROM message_status_logs")
    found, told = evaluate()
    assert not found.passed
    assert told["rows_behind"] == 0


def test_the_check_sees_statistics_of_a_campaign_that_the_source_lacks(application: Application) -> None:
    application.drain()
    application.rows(
        "WITH gone AS (INSERT INTO headrace.campaign (campaign_id, state) VALUES (%s, 'live'))"
        " INSERT INTO headrace.campaign_template_stats VALUES (%s, 't', 1, 0, 0, 0, 0, 0, 0, now(), headrace.template_md5('t'))",
        [CAMPAIGN, CAMPAIGN],
    )
    found, _ = evaluate({"newest": 1})
    assert found.description == f"campaign {CAMPAIGN}, template t, total: stored 1, recomputed 0"


def test_bounds_leave_campaigns_out_and_everything_takes_them_in(application: Application) -> None:
    application.drain()
    oldest = min(application.campaigns, key=lambda campaign: campaign.created_at).id
    application.rows(
        "SELECT headrace.reopen_campaigns(ARRAY[%s])", [oldest]
    )  # the bounds do not apply to frozen documents
    corrupt(application, oldest)
    for bound in ({"newest": 2}, {"most_messages": 250}):
        found, told = evaluate(bound)
        assert found.passed
        assert told["campaigns_compared"] == 2
        assert told["campaigns_not_looked_at"] == len(application.campaigns) - 2
    found, told = evaluate({"newest": 1, "most_messages": 1, "everything": True})
    assert not found.passed
    assert told["campaigns_not_looked_at"] == 0


def test_a_blocked_stream_is_an_error_and_not_a_result(application: Application) -> None:
    application.rows("UPDATE headrace.stream_cursor SET state = 'lost'")
    with pytest.raises(HeadraceError, match="headrace streams rebase campaign_stats"):
        evaluate()


def look(application: Application, catch_up: Callable[[], None] = lambda: None) -> Comparison:
    return compare(engine(application.url), catch_up, newest=None, most_messages=None)


def touch(application: Application, campaign: UUID) -> None:
    """A change that moves numbers: one more message."""
    application.rows("INSERT INTO send_queue (campaign_id, template_name) VALUES (%s, 'late')", [campaign])


def test_campaigns_with_changes_on_their_way_are_left_out_and_counted(application: Application) -> None:
    application.drain()
    hot = application.campaigns[0].id
    touch(application, hot)
    found = look(application)
    assert found.pending_changes == (hot,)
    assert found.differences == ()
    assert found.compared == len(application.campaigns) - 1
    assert found.snapshots == MOST_SNAPSHOTS
    assert found.rows_behind == 1


def test_a_difference_is_judged_once_changes_are_applied(application: Application) -> None:
    application.drain()
    hot, wrong = (campaign.id for campaign in application.campaigns[:2])
    corrupt(application, wrong)
    touch(application, hot)
    calls: list[int] = []

    def from_the_third_on() -> None:
        calls.append(1)
        if len(calls) == 3:
            application.drain()

    found = look(application, from_the_third_on)
    assert {difference.campaign for difference in found.differences} == {wrong}
    assert found.pending_changes == ()
    assert found.snapshots == 3


def test_a_campaign_that_gets_a_rebuild_requested_meanwhile_is_left_out(application: Application) -> None:
    application.drain()
    hot, wrong = (campaign.id for campaign in application.campaigns[1:3])
    corrupt(application, wrong)
    touch(application, hot)
    calls: list[int] = []

    def then_a_rebuild_is_requested() -> None:
        calls.append(1)
        if len(calls) == 2:
            application.rows("SELECT headrace.stream_step('campaign_stats', 0, 100)")
            application.rows(
                "UPDATE headrace.campaign SET rebuild_requested_at = now() WHERE campaign_id = %s", [wrong]
            )

    found = look(application, then_a_rebuild_is_requested)
    assert found.differences == ()
    assert found.pending_rebuild == (wrong,)


def test_campaigns_that_wait_for_their_rebuild_are_left_out_and_counted(application: Application) -> None:
    application.drain()
    waiting = application.campaigns[0].id
    corrupt(application, waiting)
    application.rows(
        "UPDATE headrace.campaign SET rebuild_requested_at = now() WHERE campaign_id = %s", [waiting]
    )
    found = look(application)
    assert found.pending_rebuild == (waiting,)
    assert found.compared == len(application.campaigns) - 1


def frozen_campaign(application: Application) -> UUID:
    application.drain()
    frozen = application.campaigns[0].id
    assert frozen in application.in_state("frozen")
    return frozen


def prune(application: Application, campaign: UUID) -> None:
    application.rows(
        "DELETE FROM message_status_logs WHERE whatsapp_message_id IN ("
        " SELECT whatsapp_message_id FROM send_queue WHERE campaign_id = %s)",
        [campaign],
    )


def test_a_frozen_campaign_equals_its_rows_and_is_compared_like_any_other(application: Application) -> None:
    frozen = frozen_campaign(application)
    assert look(application).compared == len(application.campaigns)
    template, stored = corrupt(application, frozen)
    found = look(application)
    assert found.differences == (Difference(frozen, template, "failed", stored, stored - 1),)
    assert found.broken_documents == (frozen,)


def test_a_frozen_campaign_with_a_pending_amendment_is_left_out_and_named(application: Application) -> None:
    frozen = frozen_campaign(application)
    prune(application, frozen)
    application.drain()
    assert application.rows("SELECT campaign_id FROM headrace.campaign_stats_pending_amendment") == [
        (frozen,)
    ]
    found = look(application)
    assert (found.rows_gone, found.differences) == ((frozen,), ())
    assert found.compared == len(application.campaigns) - 1
    # Once it is given up, the amendment no longer waits; the rows are still gone.
    application.rows("SELECT headrace.amend_campaigns(ARRAY[%s], false)", [frozen])
    found = look(application)
    assert (found.rows_gone, found.differences) == ((frozen,), ())
    evaluation, told = evaluate()
    assert evaluation.passed
    assert told["left_out_frozen_rows_gone"] == 1
    assert campaigns_of(evaluation, "left_out_table") == [str(frozen)]


def test_a_frozen_campaign_that_the_source_has_deleted_is_left_out_after_all_others(
    application: Application,
) -> None:
    frozen = frozen_campaign(application)
    application.rows("DELETE FROM send_queue WHERE campaign_id = %s", [frozen])
    application.rows("DELETE FROM campaigns WHERE id = %s", [frozen])
    application.drain()
    assert look(application).rows_gone == (frozen,)
    bounded = compare(engine(application.url), lambda: None, newest=3, most_messages=None)
    assert (bounded.compared, bounded.rows_gone) == (3, ())


def test_a_frozen_campaign_whose_rows_go_while_others_change_is_left_out(application: Application) -> None:
    frozen = frozen_campaign(application)
    prune(application, frozen)
    calls: list[int] = []

    def from_the_second_on() -> None:
        calls.append(1)
        if len(calls) == 2:
            application.drain()

    touch(application, application.campaigns[1].id)
    found = look(application, from_the_second_on)
    assert (found.rows_gone, found.differences, found.pending_rebuild) == ((frozen,), (), ())


@pytest.mark.parametrize(
    "change",
    [
        "SET checksum = 'other'",
        "SET totals = jsonb_set(totals, '{median_seconds_to_read}', '1')",
        "SET template_stats = template_stats - 0",
        "SET frozen_at = NULL",
        "SET state = 'live'",
    ],
)
def test_a_frozen_document_must_agree_with_its_counters_its_checksum_and_its_state_though_rows_are_gone(
    application: Application, change: str
) -> None:
    frozen = frozen_campaign(application)
    prune(application, frozen)
    application.drain()
    assert look(application).broken_documents == ()
    application.rows(f"UPDATE headrace.campaign_computed_stats {change} WHERE campaign_id = %s", [frozen])
    evaluation, told = evaluate({"newest": 1})
    assert not evaluation.passed
    assert told["broken_frozen_documents"] == 1
    assert campaigns_of(evaluation, "broken_document_table") == [str(frozen)]
    assert f"headrace rebuild {frozen}" in str(evaluation.description)


def test_stored_and_recomputed_are_read_in_one_snapshot(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two reads everything is changed and applied. The second read must not see it."""
    application.drain()
    read = comparison._templates

    def read_and_be_overtaken(*arguments: Any) -> Any:
        found = read(*arguments)
        touch(application, arguments[2])
        application.drain()
        return found

    monkeypatch.setattr(comparison, "_templates", read_and_be_overtaken)
    found = look(application)
    assert found.differences == ()
    assert found.compared == len(application.campaigns)


def test_a_snapshot_writes_nothing(application: Application) -> None:
    application.drain()
    with (
        pytest.raises(HeadraceError, match="read-only"),
        snapshot(engine(application.url)) as connection,
    ):
        connection.exec_driver_sql("DELETE FROM headrace.campaign")
    with closing(psycopg.connect(application.url)) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM headrace.campaign").fetchone() == (True,)


@pytest.mark.parametrize("counter", COUNTERS)
def test_every_counter_is_compared(counter: str) -> None:
    found = differences(CAMPAIGN, {"t": Counters(**{counter: 2})}, {"t": Counters(**{counter: 5})})
    assert found == [Difference(CAMPAIGN, "t", counter, 2, 5)]


@pytest.mark.parametrize(
    ("stored", "recomputed", "expected"),
    [
        ({}, {}, []),
        ({"t": Counters(1)}, {"t": Counters(1)}, []),
        ({None: Counters(1)}, {None: Counters(1)}, []),
        ({}, {None: Counters(1)}, [Difference(CAMPAIGN, None, "total", 0, 1)]),
        ({"t": Counters(1)}, {}, [Difference(CAMPAIGN, "t", "total", 1, 0)]),
        (
            {"b": Counters(1), None: Counters(2)},
            {"a": Counters(1), None: Counters(3)},
            [
                Difference(CAMPAIGN, "a", "total", 0, 1),
                Difference(CAMPAIGN, "b", "total", 1, 0),
                Difference(CAMPAIGN, None, "total", 2, 3),
            ],
        ),
    ],
)
def test_a_template_that_one_side_lacks_counts_nothing_there(
    stored: dict[str | None, Counters], recomputed: dict[str | None, Counters], expected: list[Difference]
) -> None:
    assert differences(CAMPAIGN, stored, recomputed) == expected


@pytest.mark.parametrize(
    ("messages", "newest", "most", "chosen"),
    [
        ([], 5, 5, 0),
        ([9], 5, 5, 1),  # the first one always
        ([2, 2, 2], 5, 5, 2),
        ([2, 2, 2], 1, 5, 1),
        ([2, 2, 2], None, None, 3),
        ([0, 0, 0], None, 0, 3),
    ],
)
def test_the_newest_campaigns_are_chosen_within_both_bounds(
    messages: list[int], newest: int | None, most: int | None, chosen: int
) -> None:
    candidates = [Candidate(uuid4(), pending=False, messages=number) for number in messages]
    assert choose(candidates, newest, most) == candidates[:chosen]


def test_a_failure_with_many_differences_stays_a_sentence() -> None:
    many = tuple(Difference(CAMPAIGN, f"t{number}", "sent", 1, 2) for number in range(9))
    found = Comparison(9, 9, many, (uuid4(),), (), (uuid4(),), (), 0, 0, dead_letters=2, snapshots=1)
    text = judge_comparison(found).sentence
    assert "template t0" in text
    assert "and 4 more" in text
    assert "1 left out with changes on their way" in text
    assert "1 frozen ones left out, the source has lost rows of them" in text
    assert "headrace dead-letters list" in text
