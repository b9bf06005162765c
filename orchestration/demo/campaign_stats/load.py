"""The example application's tables, and rows for them: whole campaigns by COPY.

Here: writing to the database. Not here: what the rows are (`rows.py`), which database it is (`local/target.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from orchestration.database.connections import connected
from orchestration.database.sentences import said
from orchestration.errors import HeadraceError

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "campaigns": ("id", "name", "status", "user_id", "created_at", "completed_at"),
    "campaign_contacts": ("id", "campaign_id", "user_phone", "template_name"),
    "send_queue": (
        *("id", "campaign_id", "user_phone", "whatsapp_number_id", "template_name"),
        *("status", "whatsapp_message_id", "sent_at", "created_at"),
    ),
    "messages": (
        *("id", "whatsapp_message_id", "user_phone", "whatsapp_number_id", "direction"),
        *("created_at", "context_message_id"),
    ),
    "message_status_logs": ("whatsapp_message_id", "campaign_id", "status", "created_at", "errors"),
}

_COPY_ROWS = 20_000  # a piece of COPY: a few MB of text


@dataclass(frozen=True)
class LoadedCampaign:
    """One campaign as it was loaded; `rows` are counts per table, without the campaign's own row."""

    id: UUID
    name: str
    status: str
    created_at: datetime
    rows: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.rows.values())


@dataclass(frozen=True)
class LoadReport:
    """What one call of `load` wrote."""

    campaigns: tuple[LoadedCampaign, ...]

    def rows(self, table: str) -> int:
        return sum(campaign.rows[table] for campaign in self.campaigns)

    @property
    def total(self) -> int:
        return sum(campaign.total for campaign in self.campaigns)


def create_schema(url: str, source_schema: str) -> None:
    """Creates the example application's tables where they are missing; existing ones stay as they are.

    Raises:
        HeadraceError: no connection, no right to create tables, or tables with these names but another
            structure.
    """
    text = files("orchestration.demo").joinpath("schema.sql").read_text(encoding="utf-8")
    statement = sql.SQL(text).format(source=sql.Identifier(source_schema))
    try:
        with connected(url) as connection:
            # IF NOT EXISTS looks and then creates: two sessions at once would both create.
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('headrace demo schema', 0))")
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise HeadraceError(
            f"The example's tables cannot be made in schema {source_schema} ({said(error)}): "
            "use a role that may create tables there."
        ) from None
    except psycopg.Error as error:
        raise HeadraceError(
            f"The example's tables cannot be made in schema {source_schema} ({said(error)}). If it "
            "already holds tables of an application of your own, name another one in HEADRACE_SOURCE_SCHEMA."
        ) from None


def campaign_id(seed: int, index: int) -> UUID:
    """Id of the `index`-th campaign of a seed."""
    digest = hashlib.sha256(f"headrace demo campaign {seed} {index}".encode()).digest()
    return UUID(bytes=digest[:16], version=4)


def load(
    url: str,
    source_schema: str,
    campaigns: int,
    seed: int,
    now: datetime,
    scale: float = 1.0,
    on_campaign: Callable[[LoadedCampaign], None] = lambda _: None,
) -> LoadReport:
    """Loads `campaigns` campaigns of this seed, each in one transaction, and analyses the tables.

    The same arguments give the same rows. At scale 1, each campaign has exactly 50,857 rows in `send_queue` and
    `campaign_contacts`, 121,679 in `message_status_logs`, 49,694 in `messages`.

    Args:
        now: with time zone; all time stamps are before it, the campaigns in the ten days before it.
        scale: the share of those rows that a campaign gets, at least 0.002; the proportions stay.
        on_campaign: called after each campaign is committed.

    Raises:
        HeadraceError: campaigns of this seed exist already (then nothing is written), or the tables do
            not.
        ValueError: `now` without time zone, or arguments outside their range.
    """
    if now.tzinfo is None:
        raise ValueError("now must have a time zone")
    if campaigns < 1 or seed < 0 or scale < 0.002:
        raise ValueError("campaigns must be at least 1, seed at least 0, scale at least 0.002")

    # numpy costs 0.1 s and 30 MB: do not load it for every command that imports this module, such as the worker.
    from orchestration.demo.campaign_stats.rows import make_campaign

    loaded = []
    try:
        with connected(url) as connection:
            _refuse_if_there(connection, source_schema, campaigns, seed)
            connection.commit()
            for index in range(campaigns):
                made = make_campaign(campaign_id(seed, index), seed, index, now, scale)
                for table, columns in made.tables.items():
                    _copy(connection, source_schema, table, columns)
                connection.commit()
                rows = {
                    table: len(columns[0]) for table, columns in made.tables.items() if table != "campaigns"
                }
                loaded.append(LoadedCampaign(made.id, made.name, made.status, made.created_at, rows))
                on_campaign(loaded[-1])
            # Without statistics, the first queries over hundreds of thousands of new rows would be planned for empty
            # tables.
            for table in COLUMNS:
                connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(source_schema, table)))
    except psycopg.errors.UniqueViolation as error:
        if error.diag.table_name != "campaigns":
            raise
        raise _already_there(source_schema, seed, "somebody is loading it at this moment") from None
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.InvalidSchemaName,
    ) as error:
        raise HeadraceError(
            f"The example's tables are not in schema {source_schema} ({said(error)}): "
            "run `headrace demo schema` first."
        ) from None
    except psycopg.Error as error:
        raise HeadraceError(
            f"Loading stopped after {len(loaded)} of {campaigns} campaigns ({said(error)}). "
            "Those are whole, nothing of the next one was kept; "
            "when the reason is mended, load with another --seed."
        ) from None
    return LoadReport(tuple(loaded))


def _refuse_if_there(
    connection: psycopg.Connection[tuple[Any, ...]], source_schema: str, campaigns: int, seed: int
) -> None:
    table = sql.Identifier(source_schema, "campaigns")
    ids = [campaign_id(seed, index) for index in range(campaigns)]
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE id = ANY(%s)").format(table), (ids,)
    ).fetchone()
    if row is not None and row[0]:
        raise _already_there(source_schema, seed, f"{row[0]} of {campaigns}")


def _already_there(source_schema: str, seed: int, detail: str) -> HeadraceError:
    return HeadraceError(
        f"Campaigns of seed {seed} are in schema {source_schema} already ({detail}), and nothing was loaded: "
        "take another --seed."
    )


def _copy(
    connection: psycopg.Connection[tuple[Any, ...]],
    source_schema: str,
    table: str,
    columns: Sequence[list[str]],
) -> None:
    """Writes the columns, lists of equal length in the order of `COLUMNS`, in COPY's text format."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(source_schema, table), sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table]))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for start in range(0, len(columns[0]), _COPY_ROWS):
            rows = zip(*(column[start : start + _COPY_ROWS] for column in columns), strict=True)
            copy.write("\n".join(map("\t".join, rows)) + "\n")


def midnight(now: datetime) -> datetime:
    """The start of that day in UTC: all loads of one day give the same rows."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
