"""Checks of campaign statistics: whether the stored numbers match the application's rows, and whether anything prevents it.

Here: the list of checks, and their config. Not here: what they read and how they judge it (comparison.py,
document_checks.py, source_checks.py), and how a check runs (dagster_kit/checks.py).
"""

import asyncio
import time

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from orchestration.campaign_stats.assets import DOMAIN
from orchestration.campaign_stats.comparison import compare, judge_comparison
from orchestration.campaign_stats.document_checks import (
    judge_amendments,
    judge_documents,
    read_amendments,
    read_documents,
)
from orchestration.campaign_stats.recompute import STREAM, read_rebuilds
from orchestration.campaign_stats.source_checks import (
    judge_orphans,
    judge_rejects,
    judge_values,
    read_orphans,
    read_rejects,
    read_values,
)
from orchestration.campaign_stats.summaries import COMPUTED_STATS, TEMPLATE_STATS
from orchestration.dagster_kit.assets import captured_tables, source_key
from orchestration.dagster_kit.checks import ReadConfig, capture_check, check, result, stream_checks
from orchestration.dagster_kit.findings import Finding
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.run_config import Flag, Whole
from orchestration.dagster_kit.schedules import hourly_checks
from orchestration.dagster_kit.stream_findings import Rebuilt
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError
from orchestration.text import log_text

_TIMED_OUT = 3
_COUNTERS, _DOCUMENTS = dg.AssetKey(TEMPLATE_STATS), dg.AssetKey(COMPUTED_STATS)
_STATUSES = source_key("message_status_logs")


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


@dg.asset_check(asset=_COUNTERS, name="stored_equals_recomputed", blocking=False)
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


stream_lag, no_dead_letters, change_log_default_empty = stream_checks(
    _COUNTERS,
    STREAM,
    Rebuilt(
        one="campaign",
        many="campaigns",
        until_then="until then they are served live or as last computed",
        mend="headrace rebuild and their ids",
    ),
    read_rebuilds,
)
funnel_monotonic = check(
    _DOCUMENTS,
    "funnel_monotonic",
    "Every document says what the counters say, in total and per template, and nothing impossible.\n\n"
    "That is: total ≥ sent ≥ delivered ≥ read, replied ≤ sent, failed ≤ total - delivered.",
    lambda connection, _: judge_documents(read_documents(connection)),
)
amendments_pending = check(
    _DOCUMENTS,
    "amendments_pending",
    "No frozen campaign waits for a decision: something late happened to it, and the source has fewer rows than it had.\n\n"
    "Its frozen numbers stand until the job amend_campaigns is told what to do.",
    lambda connection, _: judge_amendments(read_amendments(connection)),
)
orphaned_statuses = check(
    _STATUSES,
    "orphaned_statuses",
    "Every status belongs to a message: a row of send_queue has its whatsapp_message_id.\n\n"
    "Those that do not are kept and count as soon as such a row comes.",
    lambda connection, config: judge_orphans(
        read_orphans(connection, config.older_than_hours),
        config.older_than_hours,
        config.messages_outside_campaigns,
    ),
    OrphanConfig,
)
webhook_rejects = check(
    _STATUSES,
    "webhook_rejects",
    "Every part of every webhook that headrace.ingest_whatsapp_webhook was given could be taken in.",
    lambda connection, _: judge_rejects(*read_rejects(connection)),
)


def _values_check(table: str, column: str, name: str) -> dg.AssetChecksDefinition:
    def find(connection: sa.Connection, _: ReadConfig) -> Finding:
        return judge_values(read_values(connection, table), table, column)

    known = f"Every {column} in {table} is one whose meaning is known; others count for nothing."
    return check(source_key(table), name, known, find)


unknown_values = [
    _values_check("campaigns", "status", "unknown_statuses"),
    _values_check("send_queue", "status", "unknown_statuses"),
    _values_check("message_status_logs", "status", "unknown_statuses"),
    _values_check("messages", "direction", "unknown_directions"),
]
capture_triggers = capture_check(captured_tables(DOMAIN))

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
hourly = hourly_checks(DOMAIN, STREAM, "campaign statistics", checks, minute=20)
