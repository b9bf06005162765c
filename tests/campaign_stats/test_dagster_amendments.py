"""The check amendments_pending: frozen campaigns that wait for a decision."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest

from orchestration.campaign_stats.assets import campaign_computed_stats
from orchestration.campaign_stats.checks import amendments_pending
from orchestration.campaign_stats.document_checks import fewer_rows
from orchestration.dagster_kit.findings import MOST_NAMED
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.errors import HeadraceError
from tests.campaign_stats.conftest import Application
from tests.rows import insert


@pytest.fixture
def frozen(database: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Application, list[UUID]]:
    """Frozen campaigns with three messages each; more campaigns than a sentence names."""
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database)
    with psycopg.connect(database, autocommit=True) as connection:
        campaigns = [
            insert(connection, "campaigns", name=f"campaign {n}", status="running")
            for n in range(MOST_NAMED + 2)
        ]
        connection.execute(
            "INSERT INTO send_queue (campaign_id, template_name, status)"
            " SELECT id, 't', 'sent' FROM campaigns, generate_series(1, 3)"
        )
        application = Application(database, ())
        application.drain()
        connection.execute("SELECT headrace.freeze_campaigns(%s)", [campaigns])
    return application, campaigns


def evaluate() -> dg.AssetCheckEvaluation:
    result = dg.materialize(
        [amendments_pending],
        selection=dg.AssetSelection.checks(amendments_pending),
        resources={"database": ApplicationDatabase()},
    )
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def metadata(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def test_it_passes_where_every_frozen_campaign_has_its_rows(frozen: tuple[Application, list[UUID]]) -> None:
    application, campaigns = frozen
    insert_late = "INSERT INTO send_queue (campaign_id, template_name, status) VALUES (%s, 't', 'sent')"
    application.rows(insert_late, [campaigns[0]])
    application.drain()
    evaluation = evaluate()
    assert evaluation.passed
    assert evaluation.asset_key == campaign_computed_stats.key
    assert evaluation.description == "no amendment of a frozen campaign waits"
    assert metadata(evaluation)["amendments_pending"] == 0


def test_it_names_campaigns_since_when_and_how_many_rows_there_were_and_are(
    frozen: tuple[Application, list[UUID]],
) -> None:
    application, campaigns = frozen
    delete = (
        "DELETE FROM send_queue WHERE ctid IN (SELECT ctid FROM send_queue WHERE campaign_id = %s LIMIT 2)"
    )
    application.rows(delete, [campaigns[1]])
    application.drain()
    evaluation = evaluate()
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    ((since,),) = application.rows("SELECT first_at FROM headrace.campaign_stats_pending_amendment")
    assert evaluation.description is not None
    assert (
        f"campaign {campaigns[1]} (campaign 1) since {since.isoformat(sep=' ', timespec='seconds')}:"
        " send_queue 3 → 1" in evaluation.description
    )
    assert f"job amend_campaigns for {campaigns[1]}" in evaluation.description
    told = metadata(evaluation)
    assert told["amendments_pending"] == 1
    assert told["oldest_seconds"] > 0
    (row,) = told["amendments"].records
    assert row.data["fewer rows"] == "send_queue 3 → 1"
    assert row.data["reason"] == "late changes"


def test_many_are_counted_and_the_first_ones_named(frozen: tuple[Application, list[UUID]]) -> None:
    application, campaigns = frozen
    application.rows("DELETE FROM send_queue")
    application.drain()
    evaluation = evaluate()
    assert evaluation.description is not None
    assert f"; and {len(campaigns) - MOST_NAMED} more" in evaluation.description
    assert metadata(evaluation)["amendments_pending"] == len(campaigns)


def test_a_database_without_headrace_is_an_error_and_no_result(
    app_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", app_database)
    with pytest.raises(HeadraceError, match="run: headrace migrate"):
        evaluate()


def test_only_tables_with_fewer_rows_are_said() -> None:
    assert fewer_rows({"a": 2000, "b": 1, "c": 3}, {"a": 1500, "b": 5}) == "a 2,000 → 1,500, c 3 → 0"
