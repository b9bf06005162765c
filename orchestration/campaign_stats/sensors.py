"""The sensor that tells Dagster what the worker does, and steps in where none does.

Here: reading, and putting the decision into Dagster's words. Not here: the decision (reporting.py).
"""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from orchestration.campaign_stats.access import snapshot
from orchestration.campaign_stats.assets import (
    GROUP,
    day_metadata,
    picture_metadata,
    summary_metadata,
    table_metadata,
)
from orchestration.campaign_stats.checks import checks
from orchestration.campaign_stats.partitions import campaign_days
from orchestration.campaign_stats.progress import Stored, look, stored
from orchestration.campaign_stats.reporting import CatchUp, CatchUpRuns, Event, decide, read_cursor
from orchestration.campaign_stats.resources import ApplicationDatabase
from orchestration.campaign_stats.tables import ASSETS

# Below what Dagster gives a tick (60 s): then the tick fails with the database's words.
_READ_TIMEOUT_SECONDS = 20
_CATCH_UP = "headrace/catch_up"
_RUNS_REMEMBERED = 10


@dg.sensor(
    name="stream_backlog",
    target=dg.AssetSelection.assets(*ASSETS),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
    tags={"domain": GROUP},
)
def stream_backlog(context: dg.SensorEvaluationContext, database: ApplicationDatabase) -> dg.SensorResult:
    """Reports what the worker keeps up to date, and requests a run where changes wait and no worker lives.

    With a report go the latest results of the asset's checks, which Dagster would show no longer.

    Raises:
        HeadraceError: the database could not be read: the tick fails, and nothing is reported as unchanged.
    """
    runs = catch_up_runs(context.instance)
    with snapshot(database.engine(), timeout_seconds=_READ_TIMEOUT_SECONDS) as connection:
        seen = look(connection)
        if seen is None:
            return dg.SensorResult(
                skip_reason="campaign statistics are not active in this database; "
                "once the application's tables are there, run: headrace migrate"
            )
        cursor, problem = read_cursor(context.cursor, seen.now)
        if problem:
            context.log.warning(f"starting anew: {problem}")
        decision = decide(seen, runs, existing_partitions(), cursor)
        found = stored(connection, decision.events)
    return dg.SensorResult(
        asset_events=[
            *(materialization(event, found[event]) for event in decision.events),
            *last_results(context.instance, decision.events),
        ],
        run_requests=[run_request(decision.catch_up)] if decision.catch_up else None,
        # Dagster takes a tick without a run for a skipped one, events or not, and wants to know why.
        skip_reason=None if decision.catch_up else decision.note,
        cursor=decision.cursor.model_dump_json(),
    )


def catch_up_runs(instance: dg.DagsterInstance) -> CatchUpRuns:
    """What became of the latest catch-up runs."""
    runs = instance.get_runs(dg.RunsFilter(tags={_CATCH_UP: GROUP}), limit=_RUNS_REMEMBERED)
    failures = 0
    for run in runs:
        if run.status is not dg.DagsterRunStatus.FAILURE:
            break
        failures += 1
    return CatchUpRuns(in_progress=any(not run.is_finished for run in runs), failures=failures)


def existing_partitions() -> tuple[date, date] | None:
    """The first and the last day that are partitions now; None where there are none yet."""
    first, last = campaign_days.get_first_partition_key(), campaign_days.get_last_partition_key()
    return None if first is None or last is None else (date.fromisoformat(first), date.fromisoformat(last))


def materialization(event: Event, found: Stored) -> dg.AssetMaterialization:
    """The event as Dagster keeps it: what changed, and what is stored now."""
    describe = summary_metadata if event.day is None else day_metadata
    return dg.AssetMaterialization(
        event.asset,
        description=(
            f"Kept up to date from the change stream: {event.rows_changed} messages counted anew."
            if event.rows_changed
            else "Every change is applied; nothing changed since the last report."
        ),
        partition=None if event.day is None else event.day.isoformat(),
        metadata={
            **table_metadata(event.asset, found.table_rows),
            "rows_changed": event.rows_changed,
            **describe(event.asset, found.summary),
            **(picture_metadata(event.asset, "all campaigns", found.summary) if event.picture else {}),
        },
    )


def last_results(instance: dg.DagsterInstance, events: Sequence[Event]) -> list[dg.AssetCheckEvaluation]:
    """The latest check results of the assets that are reported on, once more, without a run.

    Dagster shows a result until the asset's next materialization, or as long as both are of one run. What is reported
    here each minute is of no run, so a result of no run stays to be seen; each is reported so once.
    """
    assets = {event.asset for event in events if event.day is None}
    found = []
    for key in sorted(key for check in checks for key in check.check_keys):
        if key.asset_key.to_user_string() not in assets:
            continue
        record = instance.get_latest_asset_check_evaluation_record(key)
        if (
            record
            and record.run_id
            and record.event
            and isinstance(record.evaluation, dg.AssetCheckEvaluation)
        ):
            result = record.evaluation
            found.append(
                dg.AssetCheckEvaluation(
                    asset_key=result.asset_key,
                    check_name=result.check_name,
                    passed=result.passed,
                    severity=result.severity,
                    description=result.description,
                    metadata={
                        **result.metadata,
                        "evaluated_at": dg.MetadataValue.timestamp(record.event.timestamp),
                        "run": dg.MetadataValue.dagster_run(record.run_id),
                    },
                )
            )
    return found


def run_request(catch_up: CatchUp) -> dg.RunRequest:
    """One run over the range, of both assets; without the check, which would recompute at every catch-up."""
    return dg.RunRequest(
        run_key=catch_up.run_key,
        asset_selection=[dg.AssetKey(asset) for asset in ASSETS],
        asset_check_keys=[],
        tags={
            _CATCH_UP: GROUP,
            "dagster/asset_partition_range_start": catch_up.first.isoformat(),
            "dagster/asset_partition_range_end": catch_up.last.isoformat(),
        },
    )
