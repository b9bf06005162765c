"""Campaign statistics as assets: the application's tables, the counters, the documents.

The worker keeps both tables up to date within milliseconds. To materialize a day is to make sure of the
campaigns created on it, and to show what is stored of them.
"""

import time
from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from orchestration.campaign_stats.partitions import campaign_days
from orchestration.campaign_stats.reporting import FRESHNESS_WARNING, FRESHNESS_WINDOW
from orchestration.campaign_stats.resources import ApplicationDatabase
from orchestration.campaign_stats.statistics import (
    Contents,
    Counters,
    Day,
    Upkeep,
    Window,
    bring_up_to_date,
    document_contents,
    markdown,
    mend_documents,
    template_contents,
)
from orchestration.campaign_stats.tables import COLUMNS, COMPUTED_STATS, TEMPLATE_STATS
from orchestration.contract import Table, read_contract

GROUP = "campaign_stats"
OWNERS = ["team:data-platform"]

_SOURCE_DESCRIPTIONS: Mapping[str, str] = {
    "campaigns": "The application's campaigns, in the partition of the UTC day of their creation.",
    "send_queue": "Messages that campaigns send, one row each: what every counter counts.",
    "message_status_logs": "The provider's status webhooks, as they came: late, twice, out of order.",
    "messages": "Chat messages; the incoming ones are what replies are found in.",
    "campaign_contacts": "Whom campaigns are to reach; headrace.campaign_contact_distribution() reads it.",
}


class UpkeepConfig(dg.Config):
    """How a day's campaigns are brought up to date."""

    rebuild: bool = Field(
        default=False,
        description="Recompute all campaigns of these days from their source rows, up to date or not.",
    )
    timeout_seconds: float = Field(
        default=600,
        gt=0,
        description="How long the stream may take to apply what was there at the start, or the run fails.",
    )


def source_key(table: str) -> dg.AssetKey:
    """The asset key of a table of the application."""
    return dg.AssetKey(["app", table])


def column_schema(table: str) -> dg.TableSchema:
    """The columns of one of our tables, for every event of its asset."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in COLUMNS[table]
        ]
    )


def _source(table: Table) -> dg.AssetSpec:
    columns = [
        dg.TableColumn(
            column.name,
            column.type,
            description="Where the application has it." if column.optional else None,
        )
        for column in table.columns
    ]
    return dg.AssetSpec(
        source_key(table.name),
        description=_SOURCE_DESCRIPTIONS.get(table.name, "A table of the application."),
        group_name="app",
        kinds={"postgres", "table"},
        owners=["team:application"],
        tags={"domain": GROUP},
        metadata={
            "dagster/table_name": table.name,
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "contract": "dbt_like_sql/sources.yml",
        },
    )


sources = [_source(table) for table in read_contract()[GROUP].tables]

_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=FRESHNESS_WINDOW, warn_window=FRESHNESS_WARNING)


@dg.asset(
    name=TEMPLATE_STATS,
    deps=[source_key(name) for name in ("campaigns", "send_queue", "message_status_logs", "messages")],
    partitions_def=campaign_days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=_FRESHNESS,
    group_name=GROUP,
    kinds={"postgres", "sql"},
    owners=OWNERS,
    tags={"domain": GROUP},
    metadata={
        "dagster/table_name": f"headrace.{TEMPLATE_STATS}",
        "dagster/column_schema": column_schema(TEMPLATE_STATS),
    },
)
def campaign_template_stats(
    context: dg.AssetExecutionContext, config: UpkeepConfig, database: ApplicationDatabase
) -> dg.MaterializeResult[None]:
    """Messages per campaign and template: total, sent, delivered, read, replied, failed.

    Kept incrementally from the change stream by the worker; materializing applies what the stream holds and
    makes sure of the campaigns created on these days. `rebuild: true` recomputes them from the application's
    own rows.
    """
    began = time.monotonic()
    window = _window(context)
    engine = database.engine()
    upkeep = _bring_up_to_date(context, config, database, window)
    contents = template_contents(engine, window)
    _describe_days(context, "per_template", contents)
    return dg.MaterializeResult(metadata=_run_metadata(upkeep, contents, TEMPLATE_STATS, began))


@dg.asset(
    name=COMPUTED_STATS,
    deps=[campaign_template_stats],
    partitions_def=campaign_days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=_FRESHNESS,
    group_name=GROUP,
    kinds={"postgres", "sql", "json"},
    owners=OWNERS,
    tags={"domain": GROUP},
    metadata={
        "dagster/table_name": f"headrace.{COMPUTED_STATS}",
        "dagster/column_schema": column_schema(COMPUTED_STATS),
    },
)
def campaign_computed_stats(
    context: dg.AssetExecutionContext, config: UpkeepConfig, database: ApplicationDatabase
) -> dg.MaterializeResult[None]:
    """One JSON document per campaign for serving: counters and rates per template and in total, a version.

    Written in the same transaction as the counters; materializing makes sure that the campaigns created on
    these days have theirs, and that it says what the counters say. `headrace.campaign_stats(id)` serves it.
    """
    began = time.monotonic()
    window = _window(context)
    engine = database.engine()
    upkeep = _bring_up_to_date(context, config, database, window)
    mended = mend_documents(engine, window)
    contents = document_contents(engine, window)
    _describe_days(context, "per_campaign", contents)
    metadata = _run_metadata(upkeep, contents, COMPUTED_STATS, began)
    return dg.MaterializeResult(metadata={**metadata, "documents_mended": mended})


def _window(context: dg.AssetExecutionContext) -> Window:
    found = context.partition_time_window
    return Window(found.start, found.end)


def _bring_up_to_date(
    context: dg.AssetExecutionContext, config: UpkeepConfig, database: ApplicationDatabase, window: Window
) -> Upkeep:
    return bring_up_to_date(
        database.engine(),
        database.url(),
        window,
        rebuild=config.rebuild,
        timeout_seconds=config.timeout_seconds,
        log=context.log.info,
    )


def _run_metadata(upkeep: Upkeep, contents: Contents, table: str, began: float) -> dict[str, Any]:
    """What is true of the run, and goes to each of its partitions."""
    metadata: dict[str, Any] = {
        "dagster/row_count": contents.table_rows,
        "dagster/column_schema": column_schema(table),
        "campaigns_rebuilt": upkeep.rebuilt,
        "rows_corrected": upkeep.corrected,
        "seconds": round(time.monotonic() - began, 3),
    }
    if upkeep.drained is not None:
        metadata["changes_applied"] = upkeep.drained.changes
        metadata["rebuilds_applied"] = upkeep.drained.rebuilt
        metadata["dead_letters"] = upkeep.drained.dead_letters
    return metadata


def _describe_days(context: dg.AssetExecutionContext, lines: str, contents: Contents) -> None:
    """A run over a range copies its metadata to each partition; what is a day's own is said of that day."""
    for key in context.partition_keys:
        day = date.fromisoformat(key)
        found = contents.days.get(day) or Day(day, 0, 0, Counters(), ())
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": found.rows,
                "campaigns": found.campaigns,
                "messages": found.counters.total,
                **{
                    name: getattr(found.counters, name)
                    for name in ("sent", "delivered", "read", "replied", "failed")
                },
                lines: dg.MetadataValue.md(markdown(found.lines)),
            },
            partition_key=key,
        )
