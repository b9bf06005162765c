"""What the sensor stream_backlog looks at: one snapshot of the stream, the workers and what they changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from orchestration.campaign_stats.recompute import STREAM, Window
from orchestration.campaign_stats.summaries import Summary, of_all, of_days, table_rows
from orchestration.campaign_stats.tables import ASSETS
from orchestration.dagster_kit.reporting import Activity, Event, Seen
from orchestration.database.statements import statement

# Workers say every 5 s that they live.
WORKER_SILENT_SECONDS = 15

_WORKER = statement("campaign_stats", "live_worker")
_LAG = statement("campaign_stats", "lag")
_REBUILDS = "SELECT campaigns, first_day, last_day FROM headrace.rebuild_days()"
_FINAL = "SELECT headrace.final_days(%(assets)s, %(first)s::date, %(last)s::date)"
_ACTIVITY = "SELECT asset, partition_day, rows_changed FROM headrace.activity WHERE asset = ANY (%(assets)s)"


@dataclass(frozen=True)
class Stored:
    """What goes with an event. table_rows: of the whole table; summary: of the event's day, or of everything."""

    table_rows: int
    summary: Summary


def look(connection: sa.Connection, partitions: tuple[date, date] | None = None) -> Seen | None:
    """What is to be decided upon; None where the stream is not registered: this domain is not active here.

    Args:
        partitions: the first and the last day that exist as partitions: final days are looked for among them.

    Raises:
        sqlalchemy.exc.DBAPIError: any failure to read: an unread table is not an empty one.
    """
    now, alive = connection.exec_driver_sql(
        _WORKER, {"silent": WORKER_SILENT_SECONDS, "stream": STREAM}
    ).one()
    shards, behind, seconds, blocked = connection.exec_driver_sql(_LAG, {"stream": STREAM}).one()
    if not shards:
        return None
    rebuilds, first, last = connection.exec_driver_sql(_REBUILDS).one()
    activity = connection.exec_driver_sql(_ACTIVITY, {"assets": list(ASSETS)}).all()
    return Seen(
        now=now,
        activity=tuple(Activity(*row) for row in activity),
        rows_behind=behind,
        seconds_behind=seconds,
        rebuilds=rebuilds,
        rebuild_days=None if first is None else (first, last),
        blocked=blocked,
        worker_alive=alive,
        final_days=frozenset() if partitions is None else _final_days(connection, partitions, now),
    )


def _final_days(connection: sa.Connection, partitions: tuple[date, date], now: datetime) -> frozenset[date]:
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    parameters = {"assets": list(ASSETS), "first": partitions[0], "last": min(partitions[1], yesterday)}
    return frozenset(connection.exec_driver_sql(_FINAL, parameters).scalars())


def stored(connection: sa.Connection, events: Iterable[Event]) -> dict[Event, Stored]:
    """What is stored of the campaigns that the events are about.

    Raises:
        sqlalchemy.exc.DBAPIError: as `look`.
    """
    found = {}
    for event in events:
        rows = table_rows(connection, event.asset)
        if event.day is None:
            summary = of_all(connection, event.asset)
        else:
            window = Window.of_day(event.day)
            summary = of_days(connection, event.asset, window).get(event.day, Summary())
        found[event] = Stored(rows, summary)
    return found
