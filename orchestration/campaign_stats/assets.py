"""Campaign statistics as assets: the application's tables, the counters, the documents.

The worker keeps both tables up to date within milliseconds. Materializing a day makes sure that the campaigns
created on it are up to date, and shows what is stored for them.
"""

import time
from base64 import b64encode
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from orchestration.campaign_stats.lifecycle import read_ids
from orchestration.campaign_stats.recompute import Upkeep, Window, bring_up_to_date, mend_documents
from orchestration.campaign_stats.summaries import (
    COMPUTED_STATS,
    TEMPLATE_STATS,
    Summary,
    funnel_markdown,
    markdown,
    of_days,
    of_window,
    table_rows,
)
from orchestration.dagster_kit.assets import source_key, table_asset, table_metadata
from orchestration.dagster_kit.partitions import utc_days
from orchestration.dagster_kit.reporting import Event
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.run_config import Flag, Text
from orchestration.database.transactions import snapshot
from orchestration.engine.stream import Drained
from orchestration.text import log_text

DOMAIN = "campaign_stats"

_TABLES = {TEMPLATE_STATS: "per_template", COMPUTED_STATS: "per_campaign"}
_LINE_KINDS = {TEMPLATE_STATS: "template", COMPUTED_STATS: "campaign"}
_MOST_PICTURED = 6
_NOTHING_LEFT = Upkeep(Drained(), campaigns=0, rebuilt=0, corrected=0)


class UpkeepConfig(dg.Config):
    """How a day's campaigns are brought up to date."""

    rebuild: Flag = Field(
        default=False,
        description="Recompute all campaigns of these days from their source rows, up to date or not.",
    )
    campaigns: list[Text] = Field(
        default=[],
        description="Recompute these campaigns too, by their ids, of whatever day they are; frozen ones are left alone.",
    )
    timeout_seconds: float = Field(
        default=600,
        gt=0,
        description="How long the stream may take to apply what was there at the start, or the run fails.",
    )


@table_asset(
    DOMAIN,
    TEMPLATE_STATS,
    [source_key(name) for name in ("campaigns", "send_queue", "message_status_logs", "messages")],
    utc_days,
    {"postgres", "sql"},
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
    upkeep = _bring_up_to_date(context, config, database)
    return _result(context, database, TEMPLATE_STATS, {**_work(upkeep), "seconds": _since(began)})


@table_asset(DOMAIN, COMPUTED_STATS, [dg.AssetKey(TEMPLATE_STATS)], utc_days, {"postgres", "sql", "json"})
def campaign_computed_stats(
    context: dg.AssetExecutionContext, config: UpkeepConfig, database: ApplicationDatabase
) -> dg.MaterializeResult[None]:
    """One JSON document per campaign for serving: counters and rates per template and in total, a version.

    Written in the same transaction as the counters; materializing makes sure that the campaigns created on
    these days have theirs, and that it says what the counters say. In a run that has just materialized
    campaign_template_stats nothing is recomputed twice. `headrace.campaign_stats(id)` serves it.
    """
    began = time.monotonic()
    upkeep = _NOTHING_LEFT
    if not _was_brought_up_to_date(context, config):
        upkeep = _bring_up_to_date(context, config, database)
    mended = mend_documents(database.engine(), _window(context))
    work = {**_work(upkeep), "documents_mended": mended, "seconds": _since(began)}
    return _result(context, database, COMPUTED_STATS, work)


def event_metadata(event: Event, found: tuple[int, Summary]) -> dict[str, Any]:
    """Metadata of a stream_backlog event: the whole table's row count, and a summary of the event's day, or of all campaigns."""
    rows, summary = found
    return {
        **table_metadata(DOMAIN, event.asset, rows),
        **summary_metadata(event.asset, summary, of_a_day=event.day is not None),
        **(picture_metadata(event.asset, "all campaigns", summary) if event.picture else {}),
    }


def summary_metadata(table: str, summary: Summary, *, of_a_day: bool) -> dict[str, Any]:
    """Numbers to plot, the funnel, and a table of templates or campaigns. of_a_day: for one partition, with its row count."""
    numbers = summary.counters
    return {
        **({"dagster/partition_row_count": summary.rows} if of_a_day else {}),
        "campaigns": summary.campaigns,
        "messages": numbers.total,
        **{counter: numbers.of(counter) for counter in ("sent", "delivered", "read", "replied", "failed")},
        "funnel": dg.MetadataValue.md(funnel_markdown(numbers)),
        _TABLES[table]: dg.MetadataValue.md(markdown(summary.lines, summary.all_lines)),
    }


def picture_metadata(table: str, what: str, summary: Summary) -> dict[str, Any]:
    """The funnel as a picture; empty if there is nothing to draw. It takes about 12 kB, too much for every event.

    Args:
        what: the campaigns shown, in words.
    """
    if not summary.campaigns:
        return {}
    # The import takes a second, which not every process that loads the definitions should pay.
    from orchestration.campaign_stats.funnel import draw

    picture = draw(
        f"{table}, {what}",
        f"{summary.campaigns:,} campaign{'' if summary.campaigns == 1 else 's'}, "
        f"{summary.counters.total:,} messages",
        summary.counters,
        [(line.name, line.counters) for line in summary.lines[:_MOST_PICTURED]],
        kind=_LINE_KINDS[table],
        all_parts=summary.all_lines,
    )
    text = f"![funnel](data:image/png;base64,{b64encode(picture).decode()})"
    return {"funnel_picture": dg.MetadataValue.md(text)}


def _window(context: dg.AssetExecutionContext) -> Window:
    found = context.partition_time_window
    return Window(found.start, found.end)


def _was_brought_up_to_date(context: dg.AssetExecutionContext, config: UpkeepConfig) -> bool:
    """Whether campaign_template_stats, earlier in this run, has already done everything asked for here."""
    made = context.instance.get_records_for_run(
        context.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=1
    ).records
    if [record.asset_key for record in made] != [dg.AssetKey(TEMPLATE_STATS)]:
        return False
    ops: Any = context.run.run_config.get("ops", {})
    told = UpkeepConfig(**ops.get(TEMPLATE_STATS, {}).get("config", {}))
    return (told.rebuild or not config.rebuild) and set(read_ids(config.campaigns)) <= set(
        read_ids(told.campaigns)
    )


def _bring_up_to_date(
    context: dg.AssetExecutionContext, config: UpkeepConfig, database: ApplicationDatabase
) -> Upkeep:
    return bring_up_to_date(
        database.engine(),
        database.url(),
        _window(context),
        rebuild=config.rebuild,
        named=read_ids(config.campaigns),
        timeout_seconds=config.timeout_seconds,
        log=lambda told: context.log.info(log_text(told)),
    )


def _work(upkeep: Upkeep) -> dict[str, Any]:
    work = {"campaigns_rebuilt": upkeep.rebuilt, "rows_corrected": upkeep.corrected}
    if upkeep.drained is not None:
        work["changes_applied"] = upkeep.drained.changes
        work["rebuilds_applied"] = upkeep.drained.rebuilt
        work["dead_letters"] = upkeep.drained.dead_letters
    return work


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _result(
    context: dg.AssetExecutionContext, database: ApplicationDatabase, table: str, work: dict[str, Any]
) -> dg.MaterializeResult[None]:
    """Dagster copies the result's metadata to every partition of the run. Each day's own numbers go to that day alone.

    The picture of all days goes to the last partition, which the UI shows first.
    """
    with snapshot(database.engine()) as connection:
        rows = table_rows(connection, table)
        days = of_days(connection, table, _window(context))
        together = of_window(connection, table, _window(context))
    for key in context.partition_keys:
        summary = days.get(date.fromisoformat(key), Summary())
        context.add_asset_metadata(summary_metadata(table, summary, of_a_day=True), partition_key=key)
    first, last = min(context.partition_keys), max(context.partition_keys)
    what = first if first == last else f"{first} to {last}"
    context.add_asset_metadata(picture_metadata(table, what, together), partition_key=last)
    return dg.MaterializeResult(metadata={**table_metadata(DOMAIN, table, rows), **work})
