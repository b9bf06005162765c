"""Checks of campaign statistics: whether what is stored is what the application's rows say."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from orchestration.campaign_stats.access import snapshot
from orchestration.campaign_stats.amendments import judge_amendments, read_amendments
from orchestration.campaign_stats.assets import campaign_computed_stats, campaign_template_stats
from orchestration.campaign_stats.comparison import Comparison, compare
from orchestration.campaign_stats.findings import Finding, Listing
from orchestration.campaign_stats.resources import ApplicationDatabase
from orchestration.campaign_stats.upkeep import STREAM
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError

_NAMED = 5
_LISTED = 50
_TIMED_OUT = 3

Seen = TypeVar("Seen")


class ReadConfig(dg.Config):
    """How long a check may read."""

    timeout_seconds: float = Field(
        default=60, gt=0, description="How long each statement may take before the check fails with an error."
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
        description=finding.sentence,
        metadata={
            **finding.numbers,
            "seconds": round(seconds, 3),
            **{name: listing_value(listing) for name, listing in finding.listings.items()},
            **{f"{name}_rows": listing.total for name, listing in finding.listings.items()},
        },
        asset_key=check.asset_key if check else None,
        check_name=check.name if check else None,
    )


def listing_value(listing: Listing) -> dg.TableMetadataValue:
    """A list as a table of the UI."""
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(listing.columns, row, strict=True))) for row in listing.rows],
        dg.TableSchema(columns=[dg.TableColumn(name, type) for name, type in listing.columns.items()]),
    )


class ComparisonConfig(dg.Config):
    """Which campaigns are compared; the defaults cost a few seconds."""

    everything: bool = Field(
        default=False, description="Compare all campaigns, whatever the other bounds say."
    )
    newest: int = Field(default=200, gt=0, description="Compare at most so many campaigns, the newest.")
    most_messages: int = Field(
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
            context.log.warning(f"comparing while changes keep coming: {error}")

    found = compare(
        database.engine(),
        catch_up,
        newest=None if config.everything else config.newest,
        most_messages=None if config.everything else config.most_messages,
    )
    return dg.AssetCheckResult(
        passed=not (found.differences or found.broken_documents),
        severity=dg.AssetCheckSeverity.ERROR,
        description=describe(found),
        metadata={
            "campaigns_compared": found.compared,
            "messages_compared": found.messages,
            "left_out_pending_rebuild": len(found.pending_rebuild),
            "left_out_pending_changes": len(found.pending_changes),
            "left_out_frozen_rows_gone": len(found.rows_gone),
            "left_out_campaigns": [
                str(campaign)
                for campaign in (*found.pending_rebuild, *found.pending_changes, *found.rows_gone)
            ][:_LISTED],
            "broken_frozen_documents": [str(campaign) for campaign in found.broken_documents[:_LISTED]],
            "campaigns_not_looked_at": found.not_looked_at,
            "rows_behind": found.rows_behind,
            "dead_letters": found.dead_letters,
            "snapshots": found.snapshots,
            "differences": len(found.differences),
            "seconds": round(time.monotonic() - began, 3),
            **({"difference_table": _table(found)} if found.differences else {}),
        },
    )


def describe(found: Comparison) -> str:
    """The result in a sentence; a failure names campaign, template, counter, stored and recomputed number."""
    left_out = len(found.pending_rebuild) + len(found.pending_changes)
    but = f"; {left_out} left out with changes on their way" if left_out else ""
    if found.rows_gone:
        but += f"; {len(found.rows_gone)} frozen ones left out, the source has lost rows of them"
    wrong = [
        *(
            f"campaign {campaign} is frozen, and its document does not agree with its counters or checksum "
            f"(headrace rebuild {campaign} counts it anew, on record)"
            for campaign in found.broken_documents
        ),
        *map(str, found.differences),
    ]
    if not wrong:
        return f"{found.compared} campaigns, {found.messages} messages: stored equals recomputed{but}"
    named = "; ".join(wrong[:_NAMED])
    more = len(wrong) - _NAMED
    letters = (
        f"; {found.dead_letters} dead letters may be why: headrace dead-letters list"
        if found.dead_letters
        else ""
    )
    return named + (f"; and {more} more" if more > 0 else "") + but + letters


def _table(found: Comparison) -> dg.MetadataValue:
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn("campaign", "string"),
            dg.TableColumn("template", "string"),
            dg.TableColumn("counter", "string"),
            dg.TableColumn("stored", "int"),
            dg.TableColumn("recomputed", "int"),
        ]
    )
    records = [
        dg.TableRecord(
            {
                "campaign": str(item.campaign),
                "template": "" if item.template is None else item.template,
                "counter": item.counter,
                "stored": item.stored,
                "recomputed": item.recomputed,
            }
        )
        for item in found.differences[:_LISTED]
    ]
    return dg.MetadataValue.table(records, schema)


@dg.asset_check(asset=campaign_computed_stats, name="amendments_pending", blocking=False)
def amendments_pending(config: ReadConfig, database: ApplicationDatabase) -> dg.AssetCheckResult:
    """No frozen campaign waits for a decision: something late happened to it, and the source has fewer rows than it had.

    Its frozen numbers stand until the job amend_campaigns is told what to do.
    """
    return _checked(database, config.timeout_seconds, read_amendments, judge_amendments)
