"""The sensor stream_backlog on an ephemeral instance, against the real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.loader import LoadingContextForTest

from orchestration.campaign_stats.assets import DOMAIN
from orchestration.campaign_stats.summaries import ASSETS, COMPUTED_STATS, TEMPLATE_STATS
from orchestration.dagster_kit.reporting import RUN_IS_DEAD_AFTER, Cursor
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.sensors import catch_up_runs
from orchestration.definitions import defs
from orchestration.errors import HeadraceError
from tests.campaign_stats.conftest import Application

ALIVE = (
    "INSERT INTO headrace.worker (worker_id, hostname, pid, state, streams, seen_at)"
    " VALUES ('w', 'h', 1, %s, %s, now() - %s::interval)"
)


def long_ago() -> str:
    """A cursor that is past its first minutes, with nothing reported yet."""
    return Cursor(since=datetime.now(UTC) - timedelta(days=1)).model_dump_json()


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    """A tick as Dagster evaluates it, run requests resolved."""
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, definitions=defs, resources={"database": ApplicationDatabase()}
    )
    return defs.resolve_sensor_def("stream_backlog").evaluate_tick(context)


def events(result: Any) -> dict[tuple[str, str | None], dict[str, Any]]:
    """Metadata values by asset and partition."""
    return {
        (event.asset_key.to_user_string(), event.partition): {
            name: value.value for name, value in event.metadata.items()
        }
        for event in result.asset_events
    }


def test_what_the_worker_did_becomes_events_with_counts_and_columns(application: Application) -> None:
    application.drain()
    frozen_ids = {
        row[0] for row in application.rows("SELECT campaign_id FROM headrace.campaign WHERE state = 'frozen'")
    }
    assert frozen_ids
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(instance, long_ago())
        assert not first.run_requests
        found = events(first)
        assert first.skip_message == f"everything is applied; {len(found)} materializations reported"
        assert set(found) == {(asset, day) for asset in ASSETS for day in (None, *application.days())}
        whole = found[TEMPLATE_STATS, None]
        stored = "SELECT count(*) FROM headrace.campaign_template_stats"
        assert [(whole["dagster/row_count"],)] == application.rows(stored)
        assert whole["rows_changed"] == sum(c.rows["send_queue"] for c in application.campaigns)
        assert "dagster/partition_row_count" not in whole
        assert {key for key, told in found.items() if "funnel_picture" in told} == {(a, None) for a in ASSETS}
        assert list(found)[-2:] == [(asset, None) for asset in ASSETS]
        for day in application.days():
            told = found[COMPUTED_STATS, day]
            assert told["dagster/row_count"] == len(application.campaigns)
            assert told["dagster/partition_row_count"] == len(application.of_day(day))
            frozen = sum(c.id in frozen_ids for c in application.of_day(day))
            # For a frozen campaign the messages were counted, and then its document changed.
            assert told["rows_changed"] == frozen + sum(c.rows["send_queue"] for c in application.of_day(day))
            assert told["final"] is (frozen == len(application.of_day(day)))
            assert told["dagster/column_schema"].columns
            assert told["campaigns"] == len(application.of_day(day))
            for campaign in application.of_day(day):
                assert campaign.name in told["per_campaign"]
        assert whole["campaigns"] == len(application.campaigns)
        templates = {row[0] for row in application.rows("SELECT template_name FROM send_queue")}
        assert all(f"| {template} " in whole["per_template"] for template in templates)

        second = tick(instance, first.cursor)
    assert not second.asset_events
    assert not second.run_requests
    assert second.skip_message == "everything is applied; nothing new to report"


def day_events(result: Any) -> dict[tuple[str, str | None], bool]:
    """Whether the event of an asset and day says that the day is final."""
    return {key: told["final"] for key, told in events(result).items() if key[1] is not None}


def test_a_day_becomes_final_when_its_last_campaign_is_frozen_and_is_reported_once(
    application: Application,
) -> None:
    application.drain()
    day = (
        application.days()[-1]
        if application.days()[-1] != str(datetime.now(UTC).date())
        else application.days()[0]
    )
    campaigns = [campaign.id for campaign in application.of_day(day)]
    application.rows("SELECT headrace.reopen_campaigns(%s, false)", [campaigns])
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(instance, long_ago())
        assert day_events(first)[COMPUTED_STATS, day] is False
        application.rows("SELECT headrace.freeze_campaigns(%s)", [campaigns])
        second = tick(instance, first.cursor)
        assert day_events(second) == {(asset, day): True for asset in ASSETS}
        (event,) = [
            e for e in second.asset_events if e.asset_key == dg.AssetKey(COMPUTED_STATS) and e.partition
        ]
        assert event.description == "Final: every campaign of this day is frozen."
        third = tick(instance, second.cursor)
        assert day_events(third) == {}

        # The day gets another campaign: it is no longer final, until that campaign is frozen too.
        application.rows(
            "INSERT INTO campaigns (name, status, created_at) VALUES ('late', 'running', %s)",
            [f"{day} 23:59:59+00"],
        )
        application.drain()
        fourth = tick(instance, third.cursor)
        assert day_events(fourth) == {}
        application.rows("SELECT headrace.freeze_campaigns(array_agg(id)) FROM campaigns WHERE name = 'late'")
        assert day_events(tick(instance, fourth.cursor)) == {(asset, day): True for asset in ASSETS}


def test_an_amendment_of_a_final_day_is_a_change_of_that_day(application: Application) -> None:
    application.drain()
    frozen = (
        "SELECT campaign_id, state FROM headrace.campaign WHERE state IN ('frozen', 'amended') ORDER BY 1"
    )
    campaign = application.rows(frozen)[0][0]
    (day,) = {day for day in application.days() for c in application.of_day(day) if c.id == campaign}
    total = "SELECT rows_changed FROM headrace.activity WHERE partition_day = %s ORDER BY asset"
    before = application.rows(total, [day])
    application.rows("INSERT INTO send_queue (campaign_id, status) VALUES (%s, 'sent')", [campaign])
    application.drain()
    assert (campaign, "amended") in application.rows(frozen)
    assert application.rows(total, [day]) == [(rows + 1,) for (rows,) in before]


def test_campaigns_that_have_settled_are_a_backlog_where_no_worker_lives(application: Application) -> None:
    application.drain()
    (campaign, *_) = [c.id for c in application.campaigns if c.status != "completed"]
    application.rows(
        "UPDATE campaigns SET status = 'completed', completed_at = now() - interval '8 days' WHERE id = %s",
        [campaign],
    )
    application.rows("SELECT headrace.stream_step('campaign_stats', 0, 5000)")
    state = "SELECT state FROM headrace.campaign WHERE campaign_id = %s"
    assert application.rows(state, [campaign]) == [("settling",)]
    assert application.rows("SELECT sum(rows_behind)::int FROM headrace.stream_lag") == [(0,)]
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = tick(instance, long_ago()).run_requests
        defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=list(request.asset_selection), tags=request.tags
        )
    assert application.rows(state, [campaign]) == [("frozen",)]


def test_events_are_stored_as_materializations_of_their_partitions(application: Application) -> None:
    application.drain()
    with dg.DagsterInstance.ephemeral() as instance:
        for event in tick(instance, long_ago()).asset_events:
            instance.report_runless_asset_event(event)
        there = instance.get_materialized_partitions(dg.AssetKey(TEMPLATE_STATS))
    assert there == set(application.days())


def test_a_backlog_without_a_worker_requests_one_run_and_that_run_catches_up(
    application: Application,
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(instance, long_ago())
        (request,) = first.run_requests
        assert [key.to_user_string() for key in request.asset_selection] == list(ASSETS)
        assert request.run_key
        last = request.tags["dagster/asset_partition_range_end"]
        assert last == str(datetime.now(UTC).date())

        # In progress: not requested again, whatever the cursor says.
        run = instance.create_run_for_job(
            defs.resolve_implicit_global_asset_job_def(),
            tags=request.tags,
            asset_selection=frozenset(request.asset_selection),
            status=dg.DagsterRunStatus.STARTED,
        )
        waiting = tick(instance, long_ago())
        assert not waiting.run_requests
        assert "a catch-up run is at it" in waiting.skip_message
        instance.report_run_canceled(run)

        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=list(request.asset_selection), tags=request.tags
        )
        assert result.success
        after = tick(instance, first.cursor)
    assert not after.run_requests
    assert application.rows("SELECT sum(rows_behind)::int FROM headrace.stream_lag") == [(0,)]


def test_a_catch_up_run_that_was_killed_with_dagster_is_followed_by_another_within_minutes(
    application: Application,
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = tick(instance, long_ago()).run_requests

        def begin(status: dg.DagsterRunStatus) -> dg.DagsterRun:
            run = instance.create_run_for_job(
                defs.resolve_implicit_global_asset_job_def(),
                tags=request.tags,
                asset_selection=frozenset(request.asset_selection),
                status=status,
            )
            instance.report_engine_event("at it", run)
            return run

        def in_progress(later: timedelta) -> bool:
            return catch_up_runs(instance, DOMAIN, datetime.now(UTC) + later).in_progress

        # The run was killed together with the process that would have noticed, so Dagster shows it as started for ever.
        begin(dg.DagsterRunStatus.STARTED)
        assert in_progress(RUN_IS_DEAD_AFTER - timedelta(seconds=10))
        assert not in_progress(RUN_IS_DEAD_AFTER)
        # A run that has not begun does not log anything yet.
        begin(dg.DagsterRunStatus.STARTING)
        assert in_progress(RUN_IS_DEAD_AFTER)


def test_failed_catch_up_runs_are_not_followed_at_once(application: Application) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(instance, long_ago())
        (request,) = first.run_requests
        run = instance.create_run_for_job(
            defs.resolve_implicit_global_asset_job_def(),
            tags=request.tags,
            asset_selection=frozenset(request.asset_selection),
            status=dg.DagsterRunStatus.STARTED,
        )
        instance.report_run_failed(run)
        after = tick(instance, first.cursor)
    assert not after.run_requests
    assert "after 1 failed catch-up runs" in after.skip_message


@pytest.mark.parametrize(
    ("state", "streams", "seen", "alive"),
    [
        ("running", ["*"], "1s", True),
        ("running", ["other", "campaign_stats"], "5s", True),
        ("running", ["other"], "1s", False),
        ("running", ["*"], "16s", False),
        ("stopping", ["*"], "1s", False),
        ("stopped", ["*"], "1s", False),
    ],
)
def test_a_worker_lives_that_serves_the_stream_and_was_seen_lately(
    application: Application, state: str, streams: list[str], seen: str, alive: bool
) -> None:
    application.rows(ALIVE, [state, streams, seen])
    with dg.DagsterInstance.ephemeral() as instance:
        result = tick(instance, long_ago())
    assert bool(result.run_requests) is not alive
    if alive:
        assert "a worker is at it" in result.skip_message


def test_quiet_is_reported_before_it_counts_as_late(application: Application) -> None:
    application.drain()
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(instance, long_ago())
        earlier = datetime.now(UTC) - timedelta(minutes=5)
        before = Cursor.model_validate_json(first.cursor)
        aged = before.model_copy(
            update={
                "assets": {
                    asset: told.model_copy(update={"at": earlier}) for asset, told in before.assets.items()
                }
            }
        )
        found = events(tick(instance, aged.model_dump_json()))
    assert set(found) == {(asset, None) for asset in ASSETS}
    assert {told["rows_changed"] for told in found.values()} == {0}
    assert all(told["dagster/row_count"] > 0 for told in found.values())


def test_a_cursor_that_is_not_ours_starts_anew(application: Application) -> None:
    application.drain()
    with dg.DagsterInstance.ephemeral() as instance:
        result = tick(instance, "{ of another version")
    assert {partition for _, partition in events(result)} == {None}
    assert Cursor.model_validate_json(result.cursor).assets.keys() == set(ASSETS)


def test_a_database_out_of_reach_fails_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(HeadraceError) as raised,
    ):
        tick(instance)
    assert "cannot connect to the database" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_database_without_headrace_fails_the_tick(
    app_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", app_database)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(HeadraceError) as raised,
    ):
        tick(instance)
    assert "run: headrace migrate" in str(raised.value)


def test_a_database_without_the_stream_is_skipped_with_a_word(application: Application) -> None:
    application.rows("DELETE FROM headrace.stream_cursor")
    with dg.DagsterInstance.ephemeral() as instance:
        result = tick(instance)
    assert "not active in this database" in result.skip_message


def test_a_blocked_stream_is_said_and_no_run_is_requested(application: Application) -> None:
    application.rows("UPDATE headrace.stream_cursor SET state = 'lost'")
    with dg.DagsterInstance.ephemeral() as instance:
        result = tick(instance, long_ago())
    assert not result.run_requests
    assert "headrace streams rebase campaign_stats" in result.skip_message


def shown(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> bool | None:
    """Whether the UI shows the check as passed; None: as not evaluated."""
    record = instance.get_latest_asset_check_evaluation_record(key)
    assert record is not None
    assert record.evaluation is not None
    current = asyncio.run(record.targets_latest_materialization(LoadingContextForTest(instance)))
    return record.evaluation.passed if current else None


def test_a_check_stays_evaluated_while_materializations_go_on_being_reported(
    application: Application,
) -> None:
    """Dagster shows a result only for the latest materialization, and the sensor reports one every minute."""
    application.drain()
    application.rows("UPDATE headrace.campaign_computed_stats SET totals = '{}'")
    lag = dg.AssetCheckKey(dg.AssetKey(TEMPLATE_STATS), "stream_lag")
    funnel = dg.AssetCheckKey(dg.AssetKey(COMPUTED_STATS), "funnel_monotonic")
    with dg.DagsterInstance.ephemeral() as instance:

        def report() -> list[Any]:
            found = list(tick(instance, long_ago()).asset_events)
            for event in found:
                instance.report_runless_asset_event(event)
            return [event for event in found if isinstance(event, dg.AssetCheckEvaluation)]

        assert report() == []
        run = defs.resolve_job_def("campaign_stats_checks").execute_in_process(instance=instance)
        assert (shown(instance, lag), shown(instance, funnel)) == (True, False)
        for asset in ASSETS:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset))
        assert (shown(instance, lag), shown(instance, funnel)) == (None, None)
        again = {event.asset_check_key: event for event in report()}
        assert {key.asset_key.to_user_string() for key in again} == set(ASSETS)
        assert len(again) == 6
        for event in run.get_asset_check_evaluations():
            if event.asset_check_key in again:
                told = again[event.asset_check_key]
                assert (told.passed, told.severity, told.description) == (
                    event.passed,
                    event.severity,
                    event.description,
                )
                assert told.metadata["run"].value == run.run_id
                assert event.metadata.items() <= told.metadata.items()
        for _ in range(2):
            assert report() == []  # once is enough
            assert (shown(instance, lag), shown(instance, funnel)) == (True, False)


def test_check_results_that_a_run_without_checks_has_hidden_come_back_with_the_next_tick(
    application: Application,
) -> None:
    application.drain()
    lag = dg.AssetCheckKey(dg.AssetKey(TEMPLATE_STATS), "stream_lag")
    assets = defs.resolve_implicit_global_asset_job_def()
    both = {dg.AssetKey(asset) for asset in ASSETS}
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = long_ago()

        def report() -> list[str | None]:
            nonlocal cursor
            result = tick(instance, cursor)
            cursor = result.cursor
            for event in result.asset_events:
                instance.report_runless_asset_event(event)
            return [
                event.partition for event in result.asset_events if isinstance(event, dg.AssetMaterialization)
            ]

        def materialize(**selection: Any) -> None:
            job = assets.get_subset(asset_selection=both, **selection)
            job.execute_in_process(instance=instance, partition_key=application.days()[0])

        assert report()
        materialize()
        assert shown(instance, lag)
        assert report() == []  # results of the same run are shown
        materialize(asset_check_selection=set())
        assert shown(instance, lag) is None
        assert report() == [None, None]
        assert shown(instance, lag)
        assert report() == []


def test_a_check_that_is_under_way_is_not_reported(application: Application) -> None:
    application.drain()
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("campaign_stats_checks")
        instance.create_run_for_job(job)
        record = instance.get_latest_asset_check_evaluation_record(
            dg.AssetCheckKey(dg.AssetKey(TEMPLATE_STATS), "stream_lag")
        )
        assert record is not None
        assert record.status.value == "PLANNED"
        assert not [
            e for e in tick(instance, long_ago()).asset_events if isinstance(e, dg.AssetCheckEvaluation)
        ]
