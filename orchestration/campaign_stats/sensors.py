"""The sensors: one tells Dagster what the worker does and steps in where none does, one asks for a run for completed campaigns.

Here: reading, and putting the decisions into Dagster's words. Not here: the decisions (reporting.py, completions.py).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from orchestration.campaign_stats import completions
from orchestration.campaign_stats.assets import (
    GROUP,
    day_metadata,
    picture_metadata,
    summary_metadata,
    table_metadata,
)
from orchestration.campaign_stats.checks import checks
from orchestration.campaign_stats.noticed import find_place, read_noticed
from orchestration.campaign_stats.progress import Stored, look, stored
from orchestration.campaign_stats.tables import ASSETS, TEMPLATE_STATS
from orchestration.dagster_kit.partitions import campaign_days
from orchestration.dagster_kit.reporting import (
    RUN_IS_DEAD_AFTER,
    CatchUp,
    CatchUpRuns,
    Event,
    decide,
    read_cursor,
)
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.database.transactions import snapshot

# Below what Dagster gives a tick (60 s): then the tick fails with the database's words.
_READ_TIMEOUT_SECONDS = 20
_CATCH_UP = "headrace/catch_up"
_RUNS_REMEMBERED = 10
_COMPLETED = "headrace/completed"
_COMPLETED_UNTIL = "headrace/completed_until"
_NOT_ACTIVE = (
    "campaign statistics are not active in this database; "
    "once the application's tables are there, run: headrace migrate"
)


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
    partitions = existing_partitions()
    with snapshot(database.engine(), timeout_seconds=_READ_TIMEOUT_SECONDS) as connection:
        seen = look(connection, partitions)
        if seen is None:
            return dg.SensorResult(skip_reason=_NOT_ACTIVE)
        cursor, problem = read_cursor(context.cursor, seen.now)
        if problem:
            context.log.warning(f"starting anew: {problem}")
        decision = decide(seen, runs, partitions, cursor, hidden=without_results(context.instance))
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


def catch_up_runs(instance: dg.DagsterInstance, now: datetime | None = None) -> CatchUpRuns:
    """What became of the latest catch-up runs, up to now."""
    runs = instance.get_runs(dg.RunsFilter(tags={_CATCH_UP: GROUP}), limit=_RUNS_REMEMBERED)
    failures = 0
    for run in runs:
        if run.status is not dg.DagsterRunStatus.FAILURE:
            break
        failures += 1
    at = now or datetime.now(UTC)
    return CatchUpRuns(
        in_progress=any(not run.is_finished and not is_silent(instance, run, at) for run in runs),
        failures=failures,
    )


def is_silent(instance: dg.DagsterInstance, run: dg.DagsterRun, now: datetime) -> bool:
    """Whether a run that has begun says nothing any more: it was killed together with Dagster, which does not know it."""
    if run.status is not dg.DagsterRunStatus.STARTED:
        return False
    latest = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return bool(latest) and now - datetime.fromtimestamp(latest[0].timestamp, UTC) >= RUN_IS_DEAD_AFTER


def existing_partitions() -> tuple[date, date] | None:
    """The first and the last day that are partitions now; None where there are none yet."""
    first, last = campaign_days.get_first_partition_key(), campaign_days.get_last_partition_key()
    return None if first is None or last is None else (date.fromisoformat(first), date.fromisoformat(last))


def materialization(event: Event, found: Stored) -> dg.AssetMaterialization:
    """The event as Dagster keeps it: what changed, and what is stored now."""
    describe = summary_metadata if event.day is None else day_metadata
    return dg.AssetMaterialization(
        event.asset,
        description=_description(event),
        partition=None if event.day is None else event.day.isoformat(),
        metadata={
            **table_metadata(event.asset, found.table_rows),
            "rows_changed": event.rows_changed,
            **({} if event.day is None else {"final": event.final}),
            **describe(event.asset, found.summary),
            **(picture_metadata(event.asset, "all campaigns", found.summary) if event.picture else {}),
        },
    )


def without_results(instance: dg.DagsterInstance) -> set[str]:
    """The assets of which Dagster shows no check results, because a run without checks materialized them since."""
    latest = {asset: instance.get_latest_materialization_event(dg.AssetKey(asset)) for asset in ASSETS}
    found = set()
    for key in (key for check in checks for key in check.check_keys):
        asset = key.asset_key.to_user_string()
        made = latest.get(asset)
        if made is None or not made.run_id:
            continue
        record = instance.get_latest_asset_check_evaluation_record(key)
        if (
            record
            and record.event
            and record.run_id != made.run_id
            and record.event.timestamp < made.timestamp
        ):
            found.add(asset)
    return found


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


def _description(event: Event) -> str:
    if event.final:
        return "Final: every campaign of this day is frozen."
    if event.rows_changed:
        return f"Kept up to date from the change stream: {event.rows_changed} rows changed."
    return "Every change is applied; nothing changed since the last report."


def run_request(catch_up: CatchUp) -> dg.RunRequest:
    """The catch-up run."""
    return _range_request(catch_up.run_key, catch_up.first, catch_up.last, {_CATCH_UP: GROUP})


def _range_request(
    run_key: str,
    first: date,
    last: date,
    tags: Mapping[str, str],
    config: Mapping[str, Any] | None = None,
) -> dg.RunRequest:
    """One run over the range, of both assets; without the check, which would recompute every time."""
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=[dg.AssetKey(asset) for asset in ASSETS],
        asset_check_keys=[],
        run_config=dict(config or {}),
        tags={
            **tags,
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        },
    )


@dg.sensor(
    name="completed_campaigns",
    target=dg.AssetSelection.assets(*ASSETS),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
    tags={"domain": GROUP},
)
def completed_campaigns(
    context: dg.SensorEvaluationContext, database: ApplicationDatabase
) -> dg.SensorResult:
    """Requests one run for all campaigns that were completed since the last look, which recomputes exactly those.

    None is missed while Dagster is down: completions stay on record for 30 days. A first look takes what is on record.

    Raises:
        HeadraceError: the database could not be read: the tick fails, and its completions are looked at again.
    """
    with snapshot(database.engine(), timeout_seconds=_READ_TIMEOUT_SECONDS) as connection:
        place = find_place(connection)
        if place is None:
            return dg.SensorResult(skip_reason=_NOT_ACTIVE)
        cursor, problem = completions.read_cursor(context.cursor, place)
        if problem:
            context.log.warning(f"starting anew with the completions on record: {problem}")
        until = requested_until(context.instance, completions.run_key(cursor)) or place.snapshot
        noticed = read_noticed(connection, cursor.seen, until, existing_partitions())
    decision = completions.decide(noticed, cursor, until)
    context.log.info(decision.note)
    return dg.SensorResult(
        run_requests=[completion_request(decision.request)] if decision.request else None,
        skip_reason=None if decision.request else decision.note,
        cursor=decision.cursor.model_dump_json(),
    )


def requested_until(instance: dg.DagsterInstance, run_key: str) -> str | None:
    """The snapshot that the run of this key goes up to, where there is one: a tick was ended before its cursor was stored."""
    runs = instance.get_runs(dg.RunsFilter(tags={_COMPLETED: GROUP, "dagster/run_key": run_key}), limit=1)
    return runs[0].tags.get(_COMPLETED_UNTIL) if runs else None


def completion_request(request: completions.Request) -> dg.RunRequest:
    """The run for completed campaigns, with their ids in the config of the first asset: they are recomputed once."""
    campaigns = [str(campaign) for campaign in request.campaigns]
    return _range_request(
        request.run_key,
        request.first,
        request.last,
        {_COMPLETED: GROUP, _COMPLETED_UNTIL: request.until},
        {"ops": {TEMPLATE_STATS: {"config": {"campaigns": campaigns}}}},
    )
