"""The sensor stream_backlog: tells Dagster what the workers do for all domains, and steps in if no worker is alive.

Here: reading, and turning decisions into Dagster objects. Not here: the decisions (reporting.py), and the summary of an asset
(the domains).
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa

from orchestration.dagster_kit.reporting import (
    RUN_IS_DEAD_AFTER,
    Activity,
    CatchUp,
    CatchUpRuns,
    Cursor,
    Event,
    Seen,
    decide,
    read_cursor,
)
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.database.transactions import snapshot
from orchestration.engine.backlog import count_workers, read_shards

# Below Dagster's limit for a tick (60 s), so that the tick fails with the database's message.
READ_TIMEOUT_SECONDS = 20
_CATCH_UP = "headrace/catch_up"
_RUNS_REMEMBERED = 10
_ACTIVITY = "SELECT asset, partition_day, rows_changed FROM headrace.activity WHERE asset = ANY (%(assets)s)"

Days = tuple[date, date]


@dataclass(frozen=True)
class Kept:
    """What stream_backlog must know about a domain.

    Attributes:
        domain, stream: their names; noun: what is kept, in words.
        assets: those whose tables the stream keeps up to date, upstream first; their partitions are `partitions`.
        checks: the domain's checks.
        read_rebuilds: how many items wait to be recomputed, and their first and last day, if they have any.
        read_final_days: the days from first to last that will not change any more; final: why not, in a sentence.
        read_summary: what is stored for an event's day, or for all days; show_summary: the same as metadata, after the snapshot.
    """

    domain: str
    stream: str
    noun: str
    assets: Sequence[str]
    partitions: dg.TimeWindowPartitionsDefinition
    checks: Sequence[dg.AssetChecksDefinition]
    read_rebuilds: Callable[[sa.Connection], tuple[int, date | None, date | None]]
    read_final_days: Callable[[sa.Connection, date, date], Set[date]]
    final: str
    read_summary: Callable[[sa.Connection, Event], Any]
    show_summary: Callable[[Event, Any], Mapping[str, Any]]


def stream_backlog(domains: Sequence[Kept]) -> dg.SensorDefinition:
    """One sensor for all these domains, in the order of the contract."""

    @dg.sensor(
        name="stream_backlog",
        target=dg.AssetSelection.assets(*(asset for domain in domains for asset in domain.assets)),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        description="Reports what the worker keeps up to date, and requests a run where changes wait and no worker lives. With a "
        "report go the latest results of the asset's checks, which Dagster would show no longer.",
    )
    def sensor(context: dg.SensorEvaluationContext, database: ApplicationDatabase) -> dg.SensorResult:
        return _tick(context, database, domains)

    return sensor


def _tick(
    context: dg.SensorEvaluationContext, database: ApplicationDatabase, domains: Sequence[Kept]
) -> dg.SensorResult:
    """One tick for all domains.

    Raises:
        HeadraceError: the database could not be read. The tick fails, and nothing is reported as unchanged.
    """
    # Before the database is read: what a run does until then is visible there, so no other run is requested for it.
    runs = {domain.domain: catch_up_runs(context.instance, domain.domain) for domain in domains}
    partitions = {domain.domain: existing_partitions(domain.partitions) for domain in domains}
    active, found = {}, {}
    with snapshot(database.engine(), timeout_seconds=READ_TIMEOUT_SECONDS) as connection:
        seen = {domain.domain: look(connection, domain, partitions[domain.domain]) for domain in domains}
        now = next((item.now for item in seen.values() if item is not None), None)
        if now is None:
            return dg.SensorResult(skip_reason="; ".join(not_active(domain.noun) for domain in domains))
        stored, problem = read_cursor(context.cursor, now)
        if problem:
            context.log.warning(f"starting anew: {problem}")
        cursors = {domains[0].domain: stored, **stored.others}
        for domain in domains:
            name, item = domain.domain, seen[domain.domain]
            if item is None:
                continue
            active[name] = decide(
                item,
                runs[name],
                partitions[name],
                cursors.get(name, Cursor(since=now)),
                domain.assets,
                domain.stream,
                without_results(context.instance, domain),
            )
            found.update({event: domain.read_summary(connection, event) for event in active[name].events})
    asset_events: list[Any] = []
    requests = []
    for domain in domains:
        if (decision := active.get(domain.domain)) is None:
            continue
        cursors[domain.domain] = decision.cursor
        asset_events += [materialization(domain, event, found[event]) for event in decision.events]
        asset_events += last_results(context.instance, domain, decision.events)
        if decision.catch_up:
            prefix = "" if domain is domains[0] else f"{domain.domain} "
            requests.append(_catch_up_request(domain, decision.catch_up, prefix))
    alone = len(active) == 1
    notes = [decision.note if alone else f"{name}: {decision.note}" for name, decision in active.items()]
    first, *others = domains
    cursor = cursors[first.domain].model_copy(
        update={
            "others": {domain.domain: cursors[domain.domain] for domain in others if domain.domain in cursors}
        }
    )
    return dg.SensorResult(
        asset_events=asset_events,
        run_requests=requests or None,
        # Dagster calls a tick without a run skipped, even if it has events, and wants a reason.
        skip_reason=None if requests else "; ".join(notes),
        cursor=cursor.text(),
    )


def not_active(noun: str) -> str:
    """Why there is nothing to do in a database in which a domain's stream is not registered."""
    return f"{noun} are not active in this database; once the application's tables are there, run: headrace migrate"


def look(connection: sa.Connection, domain: Kept, partitions: Days | None = None) -> Seen | None:
    """What the decision needs; None if the stream is not registered, so this domain is not active here.

    Args:
        partitions: the first and the last day that exist as partitions; final days are looked for among them.

    Raises:
        sqlalchemy.exc.DBAPIError: any failure to read. A table that could not be read is not an empty one.
    """
    now: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    alive = count_workers(connection, domain.stream) > 0
    shards = read_shards(connection, [domain.stream])
    if not shards:
        return None
    rebuilds, first, last = domain.read_rebuilds(connection)
    activity = connection.exec_driver_sql(_ACTIVITY, {"assets": list(domain.assets)}).all()
    final: Set[date] = frozenset()
    if partitions is not None:
        yesterday = now.astimezone(UTC).date() - timedelta(days=1)
        final = domain.read_final_days(connection, partitions[0], min(partitions[1], yesterday))
    return Seen(
        now=now,
        activity=tuple(Activity(*row) for row in activity),
        rows_behind=sum(shard.rows_behind + shard.more_behind for shard in shards),
        seconds_behind=max(shard.seconds_behind for shard in shards),
        rebuilds=rebuilds,
        rebuild_days=None if first is None or last is None else (first, last),
        blocked=any(shard.state != "active" for shard in shards),
        worker_alive=alive,
        final_days=frozenset(final),
    )


def catch_up_runs(instance: dg.DagsterInstance, domain: str, now: datetime | None = None) -> CatchUpRuns:
    """How the domain's latest catch-up runs ended, and whether one is still in progress."""
    runs = instance.get_runs(dg.RunsFilter(tags={_CATCH_UP: domain}), limit=_RUNS_REMEMBERED)
    failures = 0
    for run in runs:
        if run.status is not dg.DagsterRunStatus.FAILURE:
            break
        failures += 1
    at = now or datetime.now(UTC)
    return CatchUpRuns(
        in_progress=any(not run.is_finished and not _is_silent(instance, run, at) for run in runs),
        failures=failures,
    )


def _is_silent(instance: dg.DagsterInstance, run: dg.DagsterRun, now: datetime) -> bool:
    """Whether a started run no longer logs anything: it was killed together with Dagster, which does not notice."""
    if run.status is not dg.DagsterRunStatus.STARTED:
        return False
    latest = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return bool(latest) and now - datetime.fromtimestamp(latest[0].timestamp, UTC) >= RUN_IS_DEAD_AFTER


def existing_partitions(partitions: dg.TimeWindowPartitionsDefinition) -> Days | None:
    """The first and the last day that are partitions now; None if there are none yet."""
    first, last = partitions.get_first_partition_key(), partitions.get_last_partition_key()
    return None if first is None or last is None else (date.fromisoformat(first), date.fromisoformat(last))


def materialization(domain: Kept, event: Event, found: Any) -> dg.AssetMaterialization:
    """The event as Dagster's materialization: what changed, and what is stored now."""
    return dg.AssetMaterialization(
        event.asset,
        description=_description(event, domain.final),
        partition=None if event.day is None else event.day.isoformat(),
        metadata={
            "rows_changed": event.rows_changed,
            **({} if event.day is None else {"final": event.final}),
            **domain.show_summary(event, found),
        },
    )


def without_results(instance: dg.DagsterInstance, domain: Kept) -> set[str]:
    """The assets whose check results Dagster no longer shows, because a run without checks has materialized them since."""
    latest = {asset: instance.get_latest_materialization_event(dg.AssetKey(asset)) for asset in domain.assets}
    found = set()
    for key in _check_keys(domain):
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


def last_results(
    instance: dg.DagsterInstance, domain: Kept, events: Sequence[Event]
) -> list[dg.AssetCheckEvaluation]:
    """The latest check results of the reported assets, repeated without a run.

    Dagster shows a result until the asset's next materialization, or as long as both belong to the same run. The reports
    of this sensor belong to no run, so a result that belongs to no run stays visible. Each result is repeated once.
    """
    assets = {event.asset for event in events if event.day is None}
    found = []
    for key in _check_keys(domain):
        if key.asset_key.to_user_string() not in assets:
            continue
        record = instance.get_latest_asset_check_evaluation_record(key)
        if not (record and record.run_id and record.event):
            continue
        result = record.evaluation
        if isinstance(result, dg.AssetCheckEvaluation):
            metadata = {
                **result.metadata,
                "evaluated_at": dg.MetadataValue.timestamp(record.event.timestamp),
                "run": dg.MetadataValue.dagster_run(record.run_id),
            }
            found.append(
                dg.AssetCheckEvaluation(
                    asset_key=result.asset_key,
                    check_name=result.check_name,
                    passed=result.passed,
                    severity=result.severity,
                    description=result.description,
                    metadata=metadata,
                )
            )
    return found


def _check_keys(domain: Kept) -> list[dg.AssetCheckKey]:
    return sorted(key for check in domain.checks for key in check.check_keys)


def _description(event: Event, final: str) -> str:
    if event.final:
        return f"Final: {final}"
    if event.rows_changed:
        return f"Kept up to date from the change stream: {event.rows_changed} rows changed."
    return "Every change is applied; nothing changed since the last report."


def _catch_up_request(domain: Kept, catch_up: CatchUp, prefix: str) -> dg.RunRequest:
    key = f"{prefix}{catch_up.run_key}"
    return range_request(key, domain.assets, catch_up.first, catch_up.last, {_CATCH_UP: domain.domain})


def range_request(
    run_key: str,
    assets: Sequence[str],
    first: date,
    last: date,
    tags: Mapping[str, str],
    config: Mapping[str, Any] | None = None,
) -> dg.RunRequest:
    """One run of all these assets over the range, without their checks, which would recompute every time."""
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        asset_check_keys=[],
        run_config=dict(config or {}),
        tags={
            **tags,
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        },
    )
