"""What this domain gives to Dagster: an asset, its checks, their schedule, and what stream_backlog reports of it."""

from __future__ import annotations

from typing import Any

import dagster as dg
import sqlalchemy as sa

from orchestration.dagster_kit.assets import (
    captured_tables,
    source_assets,
    source_key,
    table_asset,
    table_metadata,
)
from orchestration.dagster_kit.checks import capture_check, stream_checks
from orchestration.dagster_kit.partitions import utc_days
from orchestration.dagster_kit.reporting import Event
from orchestration.dagster_kit.schedules import hourly_checks
from orchestration.dagster_kit.sensors import Kept
from orchestration.dagster_kit.stream_findings import Rebuilt
from orchestration.engine.backlog import Rebuilds

DOMAIN = "toy"
TALLY = "toy_tally"
_SOURCES = [source_key(table) for table in ("orders", "messages", "send_queue")]


@table_asset(DOMAIN, TALLY, _SOURCES, utc_days, {"postgres"})
def toy_tally() -> None:
    """Orders, messages and failures by phone."""


def _waiting(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT headrace.toy_pending()").scalar_one())


def _read_rows(connection: sa.Connection, _: Event) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM headrace.toy_tally").scalar_one())


def _show_rows(_: Event, rows: int) -> dict[str, Any]:
    return table_metadata(DOMAIN, TALLY, rows)


checks = [
    *stream_checks(
        dg.AssetKey(TALLY),
        DOMAIN,
        Rebuilt(
            one="phone", many="phones", until_then="until then their tally is old", mend="headrace migrate"
        ),
        lambda connection: Rebuilds(waiting=_waiting(connection)),
    ),
    capture_check(captured_tables(DOMAIN)),
]
kept = Kept(
    domain=DOMAIN,
    stream=DOMAIN,
    noun="toys",
    assets=(TALLY,),
    partitions=utc_days,
    checks=checks,
    read_rebuilds=lambda connection: (_waiting(connection), None, None),
    read_final_days=lambda connection, first, last: frozenset(),
    final="a tally is never final.",
    read_summary=_read_rows,
    show_summary=_show_rows,
)
definitions = dg.Definitions(
    assets=[*source_assets(DOMAIN), toy_tally],
    asset_checks=checks,
    schedules=[hourly_checks(DOMAIN, DOMAIN, "toys", checks, minute=40)],
)
