"""Checks in Dagster: each is a function that reads one snapshot and returns a finding, shown with its numbers and lists.

Here: Dagster's side, and the checks that every domain has for its stream. Not here: what is judged, and how (stream_findings.py, the
domains). If the database cannot be read, the check ends with an error, never with a result.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from orchestration.dagster_kit.assets import source_key
from orchestration.dagster_kit.findings import Cell, Finding, Listing
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.run_config import Whole
from orchestration.dagster_kit.stream_findings import (
    Lag,
    LagLimits,
    Rebuilt,
    judge_capture,
    judge_lag,
    judge_letters,
    judge_stray_days,
)
from orchestration.database.transactions import snapshot
from orchestration.engine.backlog import (
    Rebuilds,
    count_workers,
    read_letters,
    read_shards,
    read_stray_days,
    read_writer,
)
from orchestration.engine.capture import read_faults
from orchestration.text import LONGEST_TEXT, clean, cut, markdown_text

# Runs begin with the highest priority: such a check reads the backlog before another check applies it.
_FIRST = {"dagster/priority": "1"}


class ReadConfig(dg.Config):
    """How long a check may read."""

    timeout_seconds: float = Field(
        default=60, gt=0, description="How long each statement may take before the check fails with an error."
    )


class LagConfig(ReadConfig):
    """What is too much."""

    most_rows: Whole = Field(default=100_000, ge=0, description="Changes that may wait.")
    most_seconds: float = Field(default=60, ge=0, description="How long the oldest of them may have waited.")
    writer_seconds: float = Field(
        default=300, ge=0, description="How long a transaction may write; its changes come when it commits."
    )
    rebuild_seconds: float = Field(default=3600, ge=0, description="How long a rebuild may wait.")


Config = TypeVar("Config", bound=ReadConfig)


def check(
    asset: dg.AssetKey,
    name: str,
    description: str,
    find: Callable[[sa.Connection, Config], Finding],
    config: type[Config] = ReadConfig,  # type: ignore[assignment]
    *,
    first: bool = False,
) -> dg.AssetChecksDefinition:
    """A check of an asset: the finding that `find` returns for one snapshot.

    Args:
        config: what can be set in the launchpad.
        first: it runs before the other checks of its run.
    """

    def found(config: ReadConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
        began = time.monotonic()
        with snapshot(database.engine(), timeout_seconds=config.timeout_seconds) as connection:
            finding = find(connection, config)  # type: ignore[arg-type]
        return result(finding, seconds=time.monotonic() - began)

    found.__annotations__["config"] = config
    made = dg.asset_check(
        asset=asset, name=name, description=description, blocking=False, op_tags=_FIRST if first else None
    )
    return made(found)


def stream_checks(
    asset: dg.AssetKey,
    stream: str,
    rebuilt: Rebuilt,
    read_rebuilds: Callable[[sa.Connection], Rebuilds],
) -> list[dg.AssetChecksDefinition]:
    """The checks of every stream, on the asset that it keeps up to date.

    Args:
        read_rebuilds: reads what waits to be rebuilt in the domain.
    """

    def lag(connection: sa.Connection, config: LagConfig) -> Finding:
        seen = Lag(
            tuple(read_shards(connection, [stream], config.most_rows + 1)),
            read_writer(connection),
            count_workers(connection, stream),
            read_rebuilds(connection),
        )
        limits = LagLimits(
            config.most_rows, config.most_seconds, config.writer_seconds, config.rebuild_seconds
        )
        return judge_lag(seen, stream, rebuilt, limits)

    return [
        check(
            asset,
            "stream_lag",
            "The stream keeps up: changes are applied in time, no transaction writes for ever, "
            f"{rebuilt.many} get their rebuild.\n\n"
            f"An error where the stream is lost, blocked or too far behind, or a {rebuilt.one} cannot be rebuilt; a warning where "
            "only somebody's open transaction, or a queue of rebuilds, is older than it should be.",
            lag,
            LagConfig,
            first=True,
        ),
        check(
            asset,
            "no_dead_letters",
            "Every change could be applied. A dead letter is one that could not, because of its data: kept, and tried again.",
            lambda connection, _: judge_letters(read_letters(connection, stream), stream),
        ),
        check(
            asset,
            "change_log_default_empty",
            "The change log has a partition for each day: its DEFAULT partition is empty.",
            lambda connection, _: judge_stray_days(read_stray_days(connection)),
        ),
    ]


def capture_check(tables: Sequence[str]) -> dg.AssetChecksDefinition:
    """Whether the changes of these tables are captured: one check of several assets, read in one snapshot."""

    @dg.multi_asset_check(
        name="capture_triggers",
        specs=[
            dg.AssetCheckSpec(
                "capture_triggers",
                asset=source_key(table),
                description=f"Changes of {table} are seen: its triggers and their functions are as migrate made them, "
                "and fit the table's columns and partitions.",
            )
            for table in tables
        ],
        can_subset=True,
    )
    def capture_triggers(
        context: dg.AssetCheckExecutionContext, config: ReadConfig, database: ApplicationDatabase
    ) -> Iterator[dg.AssetCheckResult]:
        began = time.monotonic()
        with snapshot(database.engine(), timeout_seconds=config.timeout_seconds) as connection:
            faults = read_faults(connection, tables)
        seconds = time.monotonic() - began
        for key in sorted(context.selected_asset_check_keys):
            yield result(judge_capture(faults, key.asset_key.path[-1]), seconds=seconds, check=key)

    return capture_triggers


def result(finding: Finding, *, seconds: float, check: dg.AssetCheckKey | None = None) -> dg.AssetCheckResult:
    """The finding as Dagster's result. check: which one, if a function has several."""
    return dg.AssetCheckResult(
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR if finding.severe else dg.AssetCheckSeverity.WARN,
        description=markdown_text(finding.sentence),
        metadata={
            **finding.numbers,
            "seconds": round(seconds, 3),
            **{name: listing_value(listing) for name, listing in finding.listings.items()},
            **{
                f"{name}_rows_in_all": listing.total
                for name, listing in finding.listings.items()
                if listing.total > len(listing.rows)
            },
        },
        asset_key=check.asset_key if check else None,
        check_name=check.name if check else None,
    )


def listing_value(listing: Listing) -> dg.TableMetadataValue:
    """A list as a table for the UI."""
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(listing.columns, map(_cell, row), strict=True))) for row in listing.rows],
        dg.TableSchema(columns=[dg.TableColumn(name, type) for name, type in listing.columns.items()]),
    )


def _cell(value: Cell) -> Cell:
    return cut(clean(value), LONGEST_TEXT) if isinstance(value, str) else value
