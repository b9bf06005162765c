"""What doctor reports about campaigns: failed rebuilds, pending decisions, and whether webhooks can be ingested.

Not here: how webhooks are ingested (SQL), and the commands for what was refused (commands.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.campaign_stats.recompute import read_rebuilds
from orchestration.database.sql_files import quoted
from orchestration.database.statements import statement
from orchestration.errors import Problem
from orchestration.text import cut

_MOST = 1000
# The columns that ingest_whatsapp_webhook writes, among those that may be NOT NULL.
_WRITTEN = {
    "message_status_logs": {"whatsapp_message_id", "status", "created_at", "campaign_id", "errors"},
    "messages": {
        *("whatsapp_message_id", "user_phone", "whatsapp_number_id"),
        *("direction", "created_at", "context_message_id"),
    },
}
_MOST_FAILED = 5


@dataclass(frozen=True)
class Bare:
    """A NOT NULL column that nothing fills. type: the type's name in the catalog."""

    table: str
    column: str
    type: str


def errors(connection: sa.Connection) -> list[Problem]:
    """What is wrong. What is not installed yet is not reported."""
    return _failed_rebuilds(connection) + refused(connection)


def notes(connection: sa.Connection, schema: str, fits: bool) -> list[Problem]:
    """What is worth knowing. fits: the tables of the schema match the contract."""
    found = unwritable(connection, schema) if fits else []
    return found + _amendments(connection) + _encoding(connection)


def _failed_rebuilds(connection: sa.Connection) -> list[Problem]:
    if connection.exec_driver_sql("SELECT to_regclass('headrace.campaign')").scalar() is None:
        return []
    rebuilds = read_rebuilds(connection)
    shown = rebuilds.failed[:_MOST_FAILED]
    problems = [
        Problem(
            f"campaign {i.item} cannot be rebuilt ({cut(i.error, 300)}; {i.tries} tries); it is served live or as last computed",
            f"headrace rebuild {i.item}  # once the cause is mended",
        )
        for i in shown
    ]
    if rebuilds.all_failed > len(shown):
        problems.append(
            Problem(
                f"{rebuilds.all_failed - len(shown)} more campaigns cannot be rebuilt",
                "SELECT campaign_id, rebuild_error FROM headrace.campaign WHERE rebuild_error IS NOT NULL;",
            )
        )
    return problems


def _amendments(connection: sa.Connection) -> list[Problem]:
    """Frozen campaigns that wait for an operator's decision; none before their table is migrated."""
    pending = "headrace.campaign_stats_pending_amendment"
    if connection.execute(sa.text("SELECT to_regclass(:name)"), {"name": pending}).scalar() is None:
        return []
    waiting = list(
        connection.exec_driver_sql(
            "SELECT campaign_id FROM headrace.campaign_stats_pending_amendment ORDER BY first_at, campaign_id"
        ).scalars()
    )
    if not waiting:
        return []
    named = ", ".join(map(str, waiting[:5])) + (", …" if len(waiting) > 5 else "")
    return [
        Problem(
            f"frozen campaigns that wait for a decision: {len(waiting)} ({named}). Something late happened to them, and the "
            "source has fewer rows than they were counted from",
            "headrace campaigns amendments; then: headrace campaigns amend ID --accept or --discard",
        )
    ]


def _encoding(connection: sa.Connection) -> list[Problem]:
    encoding = connection.exec_driver_sql("SELECT getdatabaseencoding()").scalar_one()
    if encoding == "UTF8":
        return []
    return [
        Problem(
            f"the database's encoding is {encoding}: of a webhook with characters that it lacks, question marks are kept",
            "hand it over by ingest_whatsapp_webhook_text, or it is refused; a database WITH ENCODING 'UTF8' takes all",
        )
    ]


def refused(connection: sa.Connection) -> list[Problem]:
    """Parts of webhooks that the application's tables refused, and that are kept; none before their table is migrated."""
    there = connection.exec_driver_sql(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('headrace.webhook_reject') AND attname = 'notice'"
    ).scalar_one()
    if not there:
        return []
    found = connection.exec_driver_sql(statement("campaign_stats", "refused_webhooks"), {"most": _MOST + 1})
    return refusals(*found.one())


def refusals(count: int, latest: str | None) -> list[Problem]:
    """The problem for this number of refused parts. latest: why the latest was refused."""
    if not count:
        return []
    many = f"more than {_MOST:,} parts" if count > _MOST else f"{count:,} part{'s' if count > 1 else ''}"
    return [
        Problem(
            f"the application's tables refused {many} of webhooks, which are kept; the latest: {latest}",
            "mend the cause, then: headrace webhooks rejects retry",
        )
    ]


def unwritable(connection: sa.Connection, schema: str) -> list[Problem]:
    """Columns that would make the tables refuse every webhook."""
    rows = connection.exec_driver_sql(
        statement("campaign_stats", "bare_columns"), {"schema": schema, "tables": list(_WRITTEN)}
    )
    return bare_columns((Bare(*row) for row in rows), schema)


def bare_columns(columns: Iterable[Bare], schema: str) -> list[Problem]:
    """One problem for each column that ingest_whatsapp_webhook does not write."""
    return [
        Problem(
            f"ingest_whatsapp_webhook can store nothing in {bare.table}: column {bare.column} must not be null and has no default",
            _default(bare, schema) + " -- if webhooks are to go in by it",
        )
        for bare in columns
        if bare.column not in _WRITTEN[bare.table]
    ]


def _default(bare: Bare, schema: str) -> str:
    column = f"ALTER TABLE {quoted(schema)}.{quoted(bare.table)} ALTER COLUMN {quoted(bare.column)}"
    if bare.type == "uuid":
        return f"{column} SET DEFAULT gen_random_uuid();"
    if bare.column == "id" and bare.type in ("int8", "int4", "int2"):
        return f"{column} ADD GENERATED BY DEFAULT AS IDENTITY; -- and set it beyond the ids there are"
    if bare.type in ("text", "varchar") and bare.column == "id":
        return f"{column} SET DEFAULT gen_random_uuid()::text;"
    return f"{column} SET DEFAULT …;"
