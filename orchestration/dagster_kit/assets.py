"""The application's tables as assets, and what every asset of a domain shows about its own table."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import dagster as dg

from orchestration.dagster_kit.models import Column, read_models
from orchestration.dagster_kit.reporting import FRESHNESS_WARNING, FRESHNESS_WINDOW
from orchestration.database.sql_files import sql_file_names
from orchestration.install.contract import Domain, read_contract

FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=FRESHNESS_WINDOW, warn_window=FRESHNESS_WARNING)


def source_key(table: str) -> dg.AssetKey:
    """The asset key of a table of the application."""
    return dg.AssetKey(["app", table])


def source_assets(domain: str) -> list[dg.AssetSpec]:
    """The application's tables that a domain reads, without those that an earlier domain reads and therefore shows."""
    shown = {table.name for before in _before(domain) for table in before.tables}
    own = [table for table in read_contract()[domain].tables if table.name not in shown]
    told = read_models(domain).sources
    return [
        dg.AssetSpec(
            source_key(table.name),
            description=told.get(table.name, "A table of the application."),
            group_name="app",
            kinds={"postgres", "table"},
            owners=["team:application"],
            tags={"domain": domain},
            metadata={
                "dagster/table_name": table.name,
                "dagster/column_schema": _source_schema(table.name),
                "contract": "dbt_like_sql/sources.yml",
            },
        )
        for table in own
    ]


def captured_tables(domain: str) -> list[str]:
    """The tables whose capture this domain's checks look at: those that no earlier domain captures."""
    looked_at = {table for before in _before(domain) for table in sql_file_names(before.name, "capture")}
    return [table for table in sql_file_names(domain, "capture") if table not in looked_at]


def table_asset(
    domain: str,
    table: str,
    deps: Sequence[dg.AssetKey],
    partitions: dg.PartitionsDefinition[str],
    kinds: set[str],
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Turns a function into the asset of one of our tables: partitioned, kept fresh by the sensor's reports, columns from models.yml."""
    return dg.asset(
        name=table,
        deps=deps,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        freshness_policy=FRESHNESS,
        group_name=domain,
        kinds=kinds,
        owners=["team:data-platform"],
        tags={"domain": domain},
        metadata={
            "dagster/table_name": f"headrace.{table}",
            "dagster/column_schema": column_schema(domain, table),
        },
    )


def table_metadata(domain: str, table: str, rows: int) -> dict[str, Any]:
    """Metadata of every event, because the UI shows the latest event's: the whole table's row count, and its columns."""
    return {"dagster/row_count": rows, "dagster/column_schema": column_schema(domain, table)}


@cache
def column_schema(domain: str, table: str) -> dg.TableSchema:
    """The columns of one of our tables, from the domain's models.yml."""
    return _schema(read_models(domain).tables[table])


def _schema(columns: Mapping[str, Column]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for name, column in columns.items()
        ]
    )


def _source_schema(table: str) -> dg.TableSchema:
    """The columns of an application's table that any domain reads, each once."""
    columns = {
        column.name: column
        for domain in read_contract().values()
        for found in domain.tables
        if found.name == table
        for column in found.columns
    }
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description="Where the application has it." if column.optional else None,
            )
            for column in columns.values()
        ]
    )


def _before(domain: str) -> Sequence[Domain]:
    """The domains listed before it in sources.yml."""
    names = list(read_contract())
    return [read_contract()[name] for name in names[: names.index(domain)]]
