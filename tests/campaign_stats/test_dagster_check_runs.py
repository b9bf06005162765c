"""All checks together: the schedule that runs them, the rights they need, and no result if something cannot be read."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa

from orchestration.campaign_stats.checks import (
    capture_triggers,
    checks,
    funnel_monotonic,
    hourly,
    orphaned_statuses,
    stream_lag,
)
from orchestration.campaign_stats.summaries import ASSETS
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.definitions import defs
from orchestration.demo.campaign_stats.load import create_schema
from orchestration.errors import HeadraceError
from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.conftest import Application, run_check, the_check
from tests.sessions import as_role, open_transaction

EVERY_CHECK = {key for check in checks for key in check.check_keys}


@contextmanager
def run_of_the_job() -> Iterator[dg.ExecuteInProcessResult]:
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("campaign_stats_checks")
        yield job.execute_in_process(instance=instance, raise_on_error=False)


# --- which there are -----------------------------------------------------------------------------------------------


def test_each_check_is_on_the_asset_where_it_is_looked_for() -> None:
    assert {key.to_user_string() for key in EVERY_CHECK} == {
        "app/campaigns:capture_triggers",
        "app/campaigns:unknown_statuses",
        "app/message_status_logs:capture_triggers",
        "app/message_status_logs:orphaned_statuses",
        "app/message_status_logs:unknown_statuses",
        "app/message_status_logs:webhook_rejects",
        "app/messages:capture_triggers",
        "app/messages:unknown_directions",
        "app/send_queue:capture_triggers",
        "app/send_queue:unknown_statuses",
        "campaign_computed_stats:amendments_pending",
        "campaign_computed_stats:funnel_monotonic",
        "campaign_template_stats:change_log_default_empty",
        "campaign_template_stats:no_dead_letters",
        "campaign_template_stats:stored_equals_recomputed",
        "campaign_template_stats:stream_lag",
    }
    assert defs.resolve_asset_graph().asset_check_keys == EVERY_CHECK


def test_every_check_says_what_it_is_for_and_blocks_nothing() -> None:
    for check in checks:
        for spec in check.check_specs:
            assert spec.description, spec.key
            assert not spec.blocking, spec.key


# --- the schedule --------------------------------------------------------------------------------------------------


def tick(url: str, monkeypatch: pytest.MonkeyPatch) -> dg.RunRequest | dg.SkipReason:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 3, 1, 12, 20, tzinfo=UTC),
            resources={"database": ApplicationDatabase()},
        ) as context,
    ):
        found: Any = hourly(context)
        return found


def test_the_schedule_runs_by_itself_every_hour() -> None:
    schedule = defs.resolve_schedule_def("campaign_stats_checks")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "20 * * * *"
    assert schedule.job_name == "campaign_stats_checks"


def test_a_tick_requests_one_run_of_all_checks_and_of_no_asset(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(tick(database, monkeypatch), dg.RunRequest)
    job = defs.resolve_job_def("campaign_stats_checks")
    assert set(job.asset_layer.asset_graph.asset_check_keys) >= EVERY_CHECK
    assert job.asset_layer.executable_asset_keys == set()
    assert job.partitions_def is None


def test_a_tick_is_skipped_where_the_domain_is_not_active(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM headrace.stream")
    found = tick(database, monkeypatch)
    assert isinstance(found, dg.SkipReason)
    assert "run: headrace migrate" in str(found.skip_message)


def test_a_tick_fails_where_the_database_cannot_be_read(
    app_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HeadraceError, match="headrace migrate"):
        tick(app_database, monkeypatch)
    with pytest.raises(HeadraceError, match="cannot connect"):
        tick("postgresql://nobody@127.0.0.1:1/none", monkeypatch)


# --- a run of all --------------------------------------------------------------------------------------------------


@pytest.fixture
def worker_login(server_url: str) -> Iterator[str]:
    """Name of a login role that has been granted headrace_worker and nothing else."""
    name = f"login_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN IN ROLE headrace_worker".encode())
        yield name
        admin.execute(f"DROP ROLE {name}".encode())


def test_all_checks_run_in_one_process_on_a_workers_rights_alone(
    counted: Application, worker_login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks find what is irregular in the example's rows. No number is wrong, and no right is missing."""
    monkeypatch.setenv("HEADRACE_DATABASE_URL", as_role(counted.url, worker_login))
    with run_of_the_job() as result:
        assert result.success
        found = result.get_asset_check_evaluations()
    assert {item.asset_check_key for item in found} == EVERY_CHECK
    untidy = {item.asset_check_key.to_user_string() for item in found if not item.passed}
    assert untidy == {"app/message_status_logs:orphaned_statuses", "app/message_status_logs:unknown_statuses"}
    ((orphans,),) = counted.rows(
        "SELECT count(*) FROM message_status_logs l WHERE created_at < now() - interval '24 hours'"
        " AND NOT EXISTS (SELECT FROM send_queue q WHERE q.whatsapp_message_id = l.whatsapp_message_id)"
    )
    ((warnings,),) = counted.rows("SELECT count(*) FROM message_status_logs WHERE status = 'warning'")
    told = {item.asset_check_key.to_user_string(): item.metadata for item in found}
    assert told["app/message_status_logs:orphaned_statuses"]["orphaned"].value == orphans > 0
    assert told["app/message_status_logs:unknown_statuses"]["rows_with_unknown_values"].value == warnings > 0


def test_a_worker_needs_no_right_on_the_applications_schema(
    new_database: Callable[[str | None], str], worker_login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, schema = new_database(None), 'the "app"'
    create_schema(url, schema)
    migrate(url, Settings(source_schema=schema))
    monkeypatch.setenv("HEADRACE_DATABASE_URL", as_role(url, worker_login))
    with run_of_the_job() as result:
        assert result.success
        assert [item for item in result.get_asset_check_evaluations() if not item.passed] == []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute('ALTER TABLE "the ""app""".messages RENAME user_phone TO phone')
    found = run_check(capture_triggers)["app/messages"]
    assert found.sentence.endswith(
        'To do: ALTER TABLE "the ""app""".messages RENAME COLUMN phone TO user_phone;'
    )


def test_the_lag_is_looked_at_before_another_check_applies_what_waits(counted: Application) -> None:
    counted.rows("UPDATE send_queue SET status = 'failed'")
    counted.rows("UPDATE headrace.change_log SET changed_at = changed_at - interval '10 minutes'")
    with run_of_the_job() as result:
        found = {item.asset_check_key.name: item for item in result.get_asset_check_evaluations()}
    assert not found["stream_lag"].passed
    assert found["stored_equals_recomputed"].passed
    assert found["stored_equals_recomputed"].metadata["rows_behind"].value == 0


def test_to_materialize_the_assets_runs_their_checks_and_only_theirs(counted: Application) -> None:
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey(asset) for asset in ASSETS}
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, partition_key=counted.days()[0])
    assert {item.asset_check_key for item in result.get_asset_check_evaluations()} == {
        key for key in EVERY_CHECK if key.asset_key.path[0] in ASSETS
    }
    assert all(item.passed for item in result.get_asset_check_evaluations())


# --- what cannot be read -------------------------------------------------------------------------------------------


def failures_of_all() -> dict[str, str]:
    """The failure of each check's step, in one run of all checks that gives no results."""
    with run_of_the_job() as result:
        assert not result.get_asset_check_evaluations()
        return {
            event.step_key or "": str(event.step_failure_data.error)
            for event in result.all_events
            if event.is_step_failure
        }


EVERY_STEP = {check.op.name for check in checks}


def test_a_database_out_of_reach_is_an_error_of_each_check_and_no_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    failures = failures_of_all()
    assert set(failures) == EVERY_STEP
    for told in failures.values():
        assert "HeadraceError: cannot connect to the database" in told
        assert "secret" not in told


def test_a_database_without_headrace_is_an_error_that_says_what_to_run(
    app_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", app_database)
    failures = failures_of_all()
    assert set(failures) == EVERY_STEP
    assert all("run: headrace migrate" in told for told in failures.values())


def test_a_role_without_rights_is_told_which_it_needs(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", as_role(database, "headrace_app"))
    failures = failures_of_all()
    assert set(failures) == EVERY_STEP
    assert all("GRANT headrace_worker TO" in told for told in failures.values())


def test_one_check_that_cannot_read_fails_the_run_and_not_the_other_checks(counted: Application) -> None:
    counted.rows("DROP FUNCTION headrace.orphaned_statuses(interval, integer)")
    with run_of_the_job() as result:
        assert not result.success
        assert {item.asset_check_key.name for item in result.get_asset_check_evaluations()} == {
            key.name for key in EVERY_CHECK
        } - {"orphaned_statuses"}


def test_a_statement_that_takes_too_long_is_an_error_with_its_limit(counted: Application) -> None:
    with (
        open_transaction(counted.url, "LOCK TABLE send_queue IN ACCESS EXCLUSIVE MODE"),
        pytest.raises(HeadraceError, match=r"statement timeout \(0.2 s\)"),
    ):
        the_check(orphaned_statuses, timeout_seconds=0.2)


@pytest.mark.parametrize(
    "check", [funnel_monotonic, stream_lag, capture_triggers], ids=lambda check: check.op.name
)
def test_all_reads_of_a_check_see_one_moment(
    check: dg.AssetChecksDefinition, counted: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the check's first read of the database everything goes wrong. The check must not see that."""
    make, reads = ApplicationDatabase.engine, []

    def engine(database: ApplicationDatabase) -> sa.Engine:
        made = make(database)

        @sa.event.listens_for(made, "after_cursor_execute")
        def then_all_goes_wrong(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "headrace." in statement:
                reads.append(statement)
                if len(reads) == 1:
                    counted.rows("UPDATE headrace.campaign_computed_stats SET totals = '{}'")
                    counted.rows("UPDATE headrace.campaign SET rebuild_error = 'x'")
                    counted.rows("DELETE FROM headrace.installation")
                    counted.rows("DELETE FROM headrace.source")

        return made

    monkeypatch.setattr(ApplicationDatabase, "engine", engine)
    assert all(found.passed for found in run_check(check).values())
    assert reads
    assert not all(found.passed for found in run_check(check).values())
