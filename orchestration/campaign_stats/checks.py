"""Checks of campaign statistics: whether what is stored is what the application's rows say, and whether it can be.

Here: Dagster's side, which reads a snapshot and shows the finding. Not here: what is looked at and judged (comparison.py,
documents.py, statuses.py, stream_state.py, orchestration/engine/capture.py). A database that cannot be read is an error of the
check, never a result.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from orchestration.campaign_stats.amendments import judge_amendments, read_amendments
from orchestration.campaign_stats.assets import (
    GROUP,
    campaign_computed_stats,
    campaign_template_stats,
    source_key,
)
from orchestration.campaign_stats.comparison import compare, judge_comparison
from orchestration.campaign_stats.document_checks import judge_documents, read_documents
from orchestration.campaign_stats.recompute import STREAM
from orchestration.campaign_stats.source_checks import (
    judge_orphans,
    judge_rejects,
    judge_values,
    read_orphans,
    read_rejects,
    read_values,
)
from orchestration.campaign_stats.stream_state import (
    LagLimits,
    judge_capture,
    judge_lag,
    judge_letters,
    judge_stray_days,
    read_lag,
    read_letters,
    read_stray_days,
)
from orchestration.dagster_kit.findings import Cell, Finding, Listing
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.run_config import Flag, Whole
from orchestration.database.transactions import snapshot
from orchestration.engine.capture import read_faults
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError
from orchestration.install.contract import captured_sources, read_contract
from orchestration.text import LONGEST_TEXT, clean, cut, log_text, markdown_text

_TIMED_OUT = 3
# Looks before stored_equals_recomputed has applied what waits; runs do what has priority first.
_FIRST = {"dagster/priority": "1"}

Seen = TypeVar("Seen")


class ReadConfig(dg.Config):
    """How long a check may read."""

    timeout_seconds: float = Field(
        default=60, gt=0, description="How long each statement may take before the check fails with an error."
    )


class OrphanConfig(ReadConfig):
    """What counts as an orphan."""

    older_than_hours: float = Field(
        default=24,
        ge=0,
        description="Younger statuses are not looked at: one can arrive before the sender stored the message id.",
    )
    messages_outside_campaigns: Flag = Field(
        default=False,
        description="The application sends messages outside of campaigns too: statuses of messages that table "
        "messages has are counted apart, and no reason to warn.",
    )


class LagConfig(ReadConfig):
    """What is too much."""

    most_rows: Whole = Field(default=100_000, ge=0, description="Changes that may wait.")
    most_seconds: float = Field(default=60, ge=0, description="How long the oldest of them may have waited.")
    writer_seconds: float = Field(
        default=300, ge=0, description="How long a transaction may write; its changes come when it commits."
    )
    rebuild_seconds: float = Field(
        default=3600, ge=0, description="How long a campaign may wait for its rebuild."
    )


def _checked(
    database: ApplicationDatabase,
    timeout_seconds: float,
    read: Callable[[sa.Connection], Seen],
    judge: Callable[[Seen], Finding],
) -> dg.AssetCheckResult:
    """One snapshot, read and judged."""
    began = time.monotonic()
    with snapshot(database.engine(), timeout_seconds=timeout_seconds) as connection:
        seen = read(connection)
    return result(judge(seen), seconds=time.monotonic() - began)


def result(finding: Finding, *, seconds: float, check: dg.AssetCheckKey | None = None) -> dg.AssetCheckResult:
    """The finding as Dagster keeps it. check: which one, where a function has several."""
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
    """A list as a table of the UI."""
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(listing.columns, map(_cell, row), strict=True))) for row in listing.rows],
        dg.TableSchema(columns=[dg.TableColumn(name, type) for name, type in listing.columns.items()]),
    )


def _cell(value: Cell) -> Cell:
    return cut(clean(value), LONGEST_TEXT) if isinstance(value, str) else value


class ComparisonConfig(dg.Config):
    """Which campaigns are compared; the defaults cost a few seconds."""

    everything: Flag = Field(
        default=False, description="Compare all campaigns, whatever the other bounds say."
    )
    newest: Whole = Field(default=200, gt=0, description="Compare at most so many campaigns, the newest.")
    most_messages: Whole = Field(
        default=500_000,
        gt=0,
        description="Compare no more campaigns than have so many messages together, at least one.",
    )
    timeout_seconds: float = Field(
        default=30,
        gt=0,
        description="How long to wait for the stream before a snapshot is taken all the same.",
    )


@dg.asset_check(asset=campaign_template_stats, name="stored_equals_recomputed", blocking=False)
def stored_equals_recomputed(
    context: dg.AssetCheckExecutionContext, config: ComparisonConfig, database: ApplicationDatabase
) -> dg.AssetCheckResult:
    """The stored counters of the newest campaigns equal those recomputed from the application's rows.

    Both as of one snapshot. Campaigns with changes still on their way are left out, and counted.
    """
    began = time.monotonic()
    url = database.url()

    def catch_up() -> None:
        try:
            asyncio.run(drain(url, [STREAM], timeout_seconds=config.timeout_seconds))
        except HeadraceError as error:
            if error.exit_code != _TIMED_OUT:
                raise
            context.log.warning(log_text(f"comparing while changes keep coming: {error}"))

    found = compare(
        database.engine(),
        catch_up,
        newest=None if config.everything else config.newest,
        most_messages=None if config.everything else config.most_messages,
    )
    return result(judge_comparison(found), seconds=time.monotonic() - began)


@dg.asset_check(asset=campaign_template_stats, name="stream_lag", blocking=False, op_tags=_FIRST)
def stream_lag(config: LagConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
    """The stream keeps up: changes are applied in time, no transaction writes for ever, campaigns get their rebuild.

    An error where the stream is lost, blocked or too far behind, or a campaign cannot be rebuilt; a warning where only
    somebody's open transaction, or a queue of rebuilds, is older than it should be.
    """
    limits = LagLimits(config.most_rows, config.most_seconds, config.writer_seconds, config.rebuild_seconds)
    return _checked(
        database,
        config.timeout_seconds,
        lambda connection: read_lag(connection, config.most_rows + 1),
        lambda seen: judge_lag(seen, limits),
    )


@dg.asset_check(asset=campaign_template_stats, name="no_dead_letters", blocking=False)
def no_dead_letters(config: ReadConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
    """Every change could be applied. A dead letter is one that could not, because of its data: kept, and tried again."""
    return _checked(database, config.timeout_seconds, read_letters, lambda seen: judge_letters(*seen))


@dg.asset_check(asset=campaign_template_stats, name="change_log_default_empty", blocking=False)
def change_log_default_empty(config: ReadConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
    """The change log has a partition for each day: its DEFAULT partition, which never expires, is empty."""
    return _checked(database, config.timeout_seconds, read_stray_days, judge_stray_days)


@dg.asset_check(asset=campaign_computed_stats, name="funnel_monotonic", blocking=False)
def funnel_monotonic(config: ReadConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
    """Every document says what the counters say, in total and per template, and nothing impossible.

    That is: total ≥ sent ≥ delivered ≥ read, replied ≤ sent, failed ≤ total - delivered.
    """
    return _checked(database, config.timeout_seconds, read_documents, judge_documents)


@dg.asset_check(asset=campaign_computed_stats, name="amendments_pending", blocking=False)
def amendments_pending(config: ReadConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
    """No frozen campaign waits for a decision: something late happened to it, and the source has fewer rows than it had.

    Its frozen numbers stand until the job amend_campaigns is told what to do.
    """
    return _checked(database, config.timeout_seconds, read_amendments, judge_amendments)


@dg.asset_check(asset=source_key("message_status_logs"), name="orphaned_statuses", blocking=False)
def orphaned_statuses(config: OrphanConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
    """Every status belongs to a message: a row of send_queue has its whatsapp_message_id.

    Those that do not are kept and count as soon as such a row comes.
    """
    return _checked(
        database,
        config.timeout_seconds,
        lambda connection: read_orphans(connection, config.older_than_hours),
        lambda seen: judge_orphans(seen, config.older_than_hours, config.messages_outside_campaigns),
    )


@dg.asset_check(asset=source_key("message_status_logs"), name="webhook_rejects", blocking=False)
def webhook_rejects(config: ReadConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
    """Every part of every webhook that headrace.ingest_whatsapp_webhook was given could be taken in."""
    return _checked(database, config.timeout_seconds, read_rejects, lambda seen: judge_rejects(*seen))


def _values_check(table: str, column: str, name: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=source_key(table),
        name=name,
        blocking=False,
        description=f"Every {column} in {table} is one whose meaning is known; others count for nothing.",
    )
    def check(config: ReadConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
        return _checked(
            database,
            config.timeout_seconds,
            lambda connection: read_values(connection, table),
            lambda seen: judge_values(seen, table, column),
        )

    return check


unknown_values = [
    _values_check("campaigns", "status", "unknown_statuses"),
    _values_check("send_queue", "status", "unknown_statuses"),
    _values_check("message_status_logs", "status", "unknown_statuses"),
    _values_check("messages", "direction", "unknown_directions"),
]

_CAPTURED = captured_sources([read_contract()[GROUP]])


@dg.multi_asset_check(
    name="capture_triggers",
    specs=[
        dg.AssetCheckSpec(
            "capture_triggers",
            asset=source_key(table),
            description=f"Changes of {table} are seen: its triggers and their functions are as migrate made them, "
            "and fit the table's columns and partitions.",
        )
        for table in _CAPTURED
    ],
    can_subset=True,
)
def capture_triggers(
    context: dg.AssetCheckExecutionContext, config: ReadConfig, database: ApplicationDatabase
) -> Iterator[dg.AssetCheckResult]:
    """The triggers of each captured table, all as of one snapshot."""
    began = time.monotonic()
    with snapshot(database.engine(), timeout_seconds=config.timeout_seconds) as connection:
        faults = read_faults(connection, _CAPTURED)
    seconds = time.monotonic() - began
    for check in sorted(context.selected_asset_check_keys):
        yield result(judge_capture(faults, check.asset_key.path[-1]), seconds=seconds, check=check)


checks: list[dg.AssetChecksDefinition] = [
    stored_equals_recomputed,
    stream_lag,
    no_dead_letters,
    change_log_default_empty,
    funnel_monotonic,
    amendments_pending,
    orphaned_statuses,
    webhook_rejects,
    *unknown_values,
    capture_triggers,
]
