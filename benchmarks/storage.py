"""Disk space of statistics, tables with their indexes: per message of an unfrozen campaign, and per frozen campaign."""

from __future__ import annotations

from psycopg import sql

from benchmarks.databases import Database, Databases
from benchmarks.report import Section

OF_MESSAGES = ("message_outcome", "campaign_latency")
OF_CAMPAIGNS = ("campaign", "campaign_template_stats", "campaign_computed_stats", "campaign_frozen_hours")
FROZEN = 1000


def _size(database: Database, table: str) -> int:
    return int(database.value("SELECT pg_total_relation_size(('headrace.' || %s)::regclass)", [table]))


def repeat(database: Database, copies: int) -> None:
    """Replaces every campaign's rows by copies, campaign after campaign, in the order in which they would arrive."""
    connection = database.connection
    connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE twin AS SELECT id, gen_random_uuid() AS new FROM campaigns, generate_series(1, {})"
        ).format(copies)
    )
    for table in OF_CAMPAIGNS:
        columns = database.column(
            "SELECT attname FROM pg_attribute WHERE attrelid = ('headrace.' || %s)::regclass"
            " AND attnum > 1 AND NOT attisdropped ORDER BY attnum",
            [table],
        )
        connection.execute(
            sql.SQL(
                "CREATE TEMP TABLE kept AS SELECT w.new, {columns} FROM headrace.{table} t INNER JOIN twin w ON w.id = t.campaign_id;"
                " TRUNCATE headrace.{table};"
                " INSERT INTO headrace.{table} (campaign_id, {columns}) SELECT * FROM kept ORDER BY new; DROP TABLE kept"
            ).format(columns=sql.SQL(", ").join(map(sql.Identifier, columns)), table=sql.Identifier(table))
        )


def run(databases: Databases) -> list[Section]:
    rows = []
    with databases.database(20) as database:
        messages = database.value("SELECT count(*) FROM headrace.message_outcome")
        live = {table: _size(database, table) / messages for table in OF_MESSAGES}
        rows += [
            (f"message of an unfrozen campaign, of {messages:,}", f"`{table}`", f"{size:.1f}", "")
            for table, size in live.items()
        ]
        rows.append(("", "together", f"{sum(live.values()):.1f}", "≤ 250"))
        database.value("SELECT headrace.freeze_campaigns(ARRAY(SELECT id FROM campaigns))")
        there = database.value("SELECT count(*) FROM campaigns")
        copies = max(1, FROZEN // there)
        repeat(database, copies)
        campaigns = there * copies
        frozen = {table: _size(database, table) / campaigns for table in OF_CAMPAIGNS}
        hours = database.value("SELECT count(*) FROM headrace.campaign_hourly_stats") / campaigns
        rows += [
            (f"frozen campaign, of {campaigns:,}, {hours:.0f} hours each", f"`{table}`", f"{size:,.0f}", "")
            for table, size in frozen.items()
        ]
        rows.append(("", "together", f"{sum(frozen.values()):,.0f}", "≤ 20,000"))
    return [Section("Storage", rows, ("for each", "table", "bytes", "goal"), "Relations with their indexes.")]
