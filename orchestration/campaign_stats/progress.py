"""What the sensor stream_backlog looks at: one snapshot of the stream, the workers and what they changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from orchestration.campaign_stats.reporting import Activity, Event, Seen
from orchestration.campaign_stats.statistics import STREAM
from orchestration.campaign_stats.tables import ASSETS, COMPUTED_STATS, TEMPLATE_STATS

# Workers say every 5 s that they live.
WORKER_SILENT_SECONDS = 15

_WORKER = """
    SELECT clock_timestamp(), EXISTS (
        SELECT FROM headrace.worker w
        WHERE w.state = 'running' AND w.seen_at > clock_timestamp() - make_interval(secs => %(silent)s)
            AND w.streams && ARRAY['*', %(stream)s])
"""
_LAG = """
    SELECT
        count(*), coalesce(sum(rows_behind), 0)::bigint, coalesce(max(seconds_behind), 0),
        bool_or(state <> 'active')
    FROM headrace.stream_lag WHERE stream = %(stream)s
"""
_REBUILDS = """
    SELECT count(*), min(d.day), max(d.day)
    FROM headrace.campaign k
    LEFT JOIN headrace.stg_campaigns c ON c.campaign_id = k.campaign_id AND isfinite(c.created_at)
    CROSS JOIN LATERAL (SELECT (c.created_at AT TIME ZONE 'UTC')::date AS day) d
    WHERE k.rebuild_requested_at IS NOT NULL
"""
_ACTIVITY = "SELECT asset, partition_day, rows_changed FROM headrace.activity WHERE asset = ANY (%(assets)s)"

_COUNTS = {
    TEMPLATE_STATS: "SELECT count(*) FROM headrace.campaign_template_stats",
    COMPUTED_STATS: "SELECT count(*) FROM headrace.campaign_computed_stats",
}
_DAY_COUNTS = {
    TEMPLATE_STATS: """
        SELECT (c.created_at AT TIME ZONE 'UTC')::date, count(*)
        FROM headrace.stg_campaigns c JOIN headrace.campaign_template_stats s ON s.campaign_id = c.campaign_id
        WHERE isfinite(c.created_at) AND (c.created_at AT TIME ZONE 'UTC')::date = ANY (%(days)s) GROUP BY 1
    """,
    COMPUTED_STATS: """
        SELECT (c.created_at AT TIME ZONE 'UTC')::date, count(*)
        FROM headrace.stg_campaigns c JOIN headrace.campaign_computed_stats s ON s.campaign_id = c.campaign_id
        WHERE isfinite(c.created_at) AND (c.created_at AT TIME ZONE 'UTC')::date = ANY (%(days)s) GROUP BY 1
    """,
}


@dataclass(frozen=True)
class RowCounts:
    """Rows of the whole table, and of the event's day; None for an event without one."""

    table: int
    day: int | None


def look(connection: sa.Connection) -> Seen | None:
    """What is to be decided upon; None where the stream is not registered: this domain is not active here.

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
    )


def row_counts(
    connection: sa.Connection, events: Iterable[Event]
) -> dict[tuple[str, date | None], RowCounts]:
    """The row counts that go with the events, by asset and day.

    Raises:
        sqlalchemy.exc.DBAPIError: as `look`.
    """
    days: dict[str, list[date | None]] = {}
    for event in events:
        days.setdefault(event.asset, []).append(event.day)
    counts: dict[tuple[str, date | None], RowCounts] = {}
    for asset, wanted in days.items():
        table = connection.exec_driver_sql(_COUNTS[asset]).scalar_one()
        dated = [day for day in wanted if day is not None]
        of_day: dict[date, int] = {}
        if dated:
            found = connection.exec_driver_sql(_DAY_COUNTS[asset], {"days": dated})
            of_day = {row[0]: row[1] for row in found}
        for day in wanted:
            counts[asset, day] = RowCounts(table, None if day is None else of_day.get(day, 0))
    return counts
