"""What stream_backlog reports about campaign statistics, and the sensor that requests a run for completed campaigns.

Here: reading, and turning decisions into Dagster objects. Not here: the decisions (completions.py, dagster_kit/reporting.py).
"""

from collections.abc import Set
from datetime import date

import dagster as dg
import sqlalchemy as sa

from orchestration.campaign_stats import completions
from orchestration.campaign_stats.assets import DOMAIN, event_metadata
from orchestration.campaign_stats.checks import checks
from orchestration.campaign_stats.recompute import STREAM, Window
from orchestration.campaign_stats.summaries import (
    ASSETS,
    TEMPLATE_STATS,
    Summary,
    of_all,
    of_days,
    table_rows,
)
from orchestration.dagster_kit.partitions import utc_days
from orchestration.dagster_kit.reporting import Event
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.sensors import (
    READ_TIMEOUT_SECONDS,
    Kept,
    existing_partitions,
    not_active,
    range_request,
)
from orchestration.database.transactions import snapshot

_COMPLETED = "headrace/completed"
_COMPLETED_UNTIL = "headrace/completed_until"
_NOUN = "campaign statistics"
_FINAL = "SELECT headrace.final_days(%(assets)s, %(first)s::date, %(last)s::date)"


def _read_rebuilds(connection: sa.Connection) -> tuple[int, date | None, date | None]:
    row = connection.exec_driver_sql(
        "SELECT campaigns, first_day, last_day FROM headrace.rebuild_days()"
    ).one()
    return row.campaigns, row.first_day, row.last_day


def _read_final_days(connection: sa.Connection, first: date, last: date) -> Set[date]:
    parameters = {"assets": list(ASSETS), "first": first, "last": last}
    return set(connection.exec_driver_sql(_FINAL, parameters).scalars())


def _read_summary(connection: sa.Connection, event: Event) -> tuple[int, Summary]:
    """The whole table's row count, and a summary of the event's day, or of all campaigns."""
    rows = table_rows(connection, event.asset)
    if event.day is None:
        return rows, of_all(connection, event.asset)
    return rows, of_days(connection, event.asset, Window.of_day(event.day)).get(event.day, Summary())


kept = Kept(
    domain=DOMAIN,
    stream=STREAM,
    noun=_NOUN,
    assets=ASSETS,
    partitions=utc_days,
    checks=checks,
    read_rebuilds=_read_rebuilds,
    read_final_days=_read_final_days,
    final="every campaign of this day is frozen.",
    read_summary=_read_summary,
    show_summary=event_metadata,
)


@dg.sensor(
    name="completed_campaigns",
    target=dg.AssetSelection.assets(*ASSETS),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
    tags={"domain": DOMAIN},
)
def completed_campaigns(
    context: dg.SensorEvaluationContext, database: ApplicationDatabase
) -> dg.SensorResult:
    """Requests one run for all campaigns that were completed since the last look, which recomputes exactly those.

    None is missed while Dagster is down: completions stay on record for 30 days. A first look takes what is on record.

    Raises:
        HeadraceError: the database could not be read: the tick fails, and its completions are looked at again.
    """
    with snapshot(database.engine(), timeout_seconds=READ_TIMEOUT_SECONDS) as connection:
        place = completions.find_place(connection, STREAM)
        if place is None:
            return dg.SensorResult(skip_reason=not_active(_NOUN))
        cursor, problem = completions.read_cursor(context.cursor, place)
        if problem:
            context.log.warning(f"starting anew with the completions on record: {problem}")
        until = _requested_until(context.instance, completions.run_key(cursor)) or place.snapshot
        noticed = completions.read_noticed(connection, cursor.seen, until, existing_partitions(utc_days))
    decision = completions.decide(noticed, cursor, until)
    context.log.info(decision.note)
    return dg.SensorResult(
        run_requests=[_completion_request(decision.request)] if decision.request else None,
        skip_reason=None if decision.request else decision.note,
        cursor=decision.cursor.model_dump_json(),
    )


def _requested_until(instance: dg.DagsterInstance, run_key: str) -> str | None:
    """The snapshot up to which the run with this key goes, if it exists: then a tick ended before it stored its cursor."""
    runs = instance.get_runs(dg.RunsFilter(tags={_COMPLETED: DOMAIN, "dagster/run_key": run_key}), limit=1)
    return runs[0].tags.get(_COMPLETED_UNTIL) if runs else None


def _completion_request(request: completions.Request) -> dg.RunRequest:
    """The run for completed campaigns. Only the first asset's config has their ids, so they are recomputed once."""
    campaigns = [str(campaign) for campaign in request.campaigns]
    return range_request(
        request.run_key,
        ASSETS,
        request.first,
        request.last,
        {_COMPLETED: DOMAIN, _COMPLETED_UNTIL: request.until},
        {"ops": {TEMPLATE_STATS: {"config": {"campaigns": campaigns}}}},
    )
