"""Irregular input: statuses without a message, unknown values, and parts of webhooks that were refused.

None of it is dropped, and none of it counts. Here: reading and judging. Not here: what a status means (SQL,
dbt_like_sql/campaign_stats/definitions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orchestration.dagster_kit.findings import (
    MOST_NAMED,
    MOST_ROWS,
    Finding,
    Listing,
    counts,
    named,
    short,
    stamp,
)
from orchestration.database.statements import statement

# The provider documents these, and they count for nothing: no reason to warn.
DOCUMENTED = frozenset({"deleted"})

_ORPHANS = (
    "SELECT status, statuses, orphaned, in_messages, oldest, newest, examples"
    " FROM headrace.orphaned_statuses(make_interval(secs => %(older)s), %(examples)s)"
)
_VALUES = "SELECT value, known, row_count, example FROM headrace.source_values(%(table)s)"
# A check should not read millions of rows.
MOST_COUNTED = 100_000


@dataclass(frozen=True)
class Orphans:
    """The statuses with one value.

    Attributes:
        status: the value; None for null.
        statuses: how many are old enough.
        orphaned: how many of them have no queue row. in_messages: how many of these have a row in table messages.
        examples: ids in message_status_logs, newest first.
    """

    status: str | None
    statuses: int
    orphaned: int
    in_messages: int
    oldest: datetime | None = None
    newest: datetime | None = None
    examples: Sequence[str] = ()


@dataclass(frozen=True)
class Value:
    """A value of a column. known: its meaning is known; rows: how many have it; example: one row's id, if it is unknown."""

    value: str | None
    known: bool
    rows: int
    example: str | None = None


@dataclass(frozen=True)
class Rejects:
    """Parts of webhooks refused for one reason. times: how often they came; examples: ids, newest first."""

    reason: str
    items: int
    times: int
    first_at: datetime
    last_at: datetime
    examples: Sequence[str]


def read_orphans(connection: sa.Connection, older_than_hours: float) -> list[Orphans]:
    """All statuses older than this many hours, by value."""
    parameters = {"older": older_than_hours * 3600, "examples": MOST_NAMED}
    return [Orphans(*row) for row in connection.exec_driver_sql(_ORPHANS, parameters)]


def judge_orphans(
    seen: Sequence[Orphans], older_than_hours: float, messages_outside_campaigns: bool
) -> Finding:
    """Passes if every status has a queue row or, with `messages_outside_campaigns`, a row in messages."""
    statuses = sum(item.statuses for item in seen)
    orphaned = sum(item.orphaned for item in seen)
    elsewhere = sum(item.in_messages for item in seen)
    wrong = orphaned - elsewhere if messages_outside_campaigns else orphaned
    culprits = [item for item in seen if item.orphaned]
    of = f"of {statuses:,} statuses older than {older_than_hours:g} h"
    if wrong:
        sentence = (
            f"{wrong:,} {of} ({wrong / statuses:.2%}) belong to no row of send_queue"
            + (" or messages" if messages_outside_campaigns else "")
            + f", and count for nothing: {counts((_name(item.status), item.orphaned) for item in culprits)}; "
            f"for example message_status_logs.id {', '.join(culprits[0].examples)}"
        )
        if elsewhere and not messages_outside_campaigns:
            sentence += (
                f". {elsewhere:,} of them are of messages that table messages has: sent outside of campaigns "
                "(then run this check with messages_outside_campaigns), or their sender never stored the id"
            )
    elif orphaned:
        sentence = f"all {of[3:]} belong to a message; {orphaned:,} of them to one outside of campaigns"
    else:
        sentence = f"all {of[3:]} belong to a row of send_queue"
    columns = ("status", "statuses", "orphaned", "in_messages", "oldest", "newest", "examples")
    rows = [
        (
            _name(item.status),
            item.statuses,
            item.orphaned,
            item.in_messages,
            stamp(item.oldest),
            stamp(item.newest),
            ", ".join(item.examples),
        )
        for item in culprits
    ]
    return Finding(
        passed=not wrong,
        sentence=sentence,
        severe=False,
        numbers={
            "statuses": statuses,
            "orphaned": orphaned,
            "orphaned_share": round(orphaned / statuses, 6) if statuses else 0.0,
            "of_messages_outside_send_queue": elsewhere,
        },
        listings={"orphan_table": Listing.of(columns, rows)} if rows else {},
    )


def read_values(connection: sa.Connection, table: str) -> list[Value]:
    """The values of the table's status (of messages: direction), most frequent first."""
    return [Value(*row) for row in connection.exec_driver_sql(_VALUES, {"table": table})]


def judge_values(seen: Sequence[Value], table: str, column: str) -> Finding:
    """Passes if every value is known, or documented to count for nothing."""
    rows = sum(item.rows for item in seen)
    documented = [item for item in seen if not item.known and item.value in DOCUMENTED]
    unknown = [item for item in seen if not item.known and item.value not in DOCUMENTED]
    if unknown:
        sentence = f"{table}.{column} has values that count for nothing: " + named(
            [f"{_name(item.value)} ({item.rows:,} rows, for example id {item.example})" for item in unknown]
        )
    else:
        sentence = f"{rows:,} rows of {table}: every {column} is known"
    if documented:
        sentence += (
            f"; documented, and counting for nothing: {counts((_name(i.value), i.rows) for i in documented)}"
        )
    columns = ("value", "rows", "example_id")
    listed = [(_name(item.value), item.rows, item.example) for item in (*unknown, *documented)]
    return Finding(
        passed=not unknown,
        sentence=sentence,
        severe=False,
        numbers={
            "rows": rows,
            "unknown_values": len(unknown),
            "rows_with_unknown_values": sum(item.rows for item in unknown),
            "rows_documented_without_effect": sum(item.rows for item in documented),
        },
        listings={"value_table": Listing.of(columns, listed)} if listed else {},
    )


def read_rejects(connection: sa.Connection) -> tuple[list[Rejects], int, int, int]:
    """Rejects by reason, most frequent first; then the numbers of reasons, items and deliveries in all."""
    parameters = {"examples": MOST_NAMED, "most": MOST_ROWS}
    rows = connection.exec_driver_sql(statement("campaign_stats", "webhook_rejects"), parameters).all()
    reasons, items, times = rows[0][6:] if rows else (0, 0, 0)
    return [Rejects(*row[:6]) for row in rows], reasons, items, times


def judge_rejects(seen: Sequence[Rejects], reasons: int, items: int, times: int) -> Finding:
    """Passes if there are none. Notices of the provider do not count as rejects here."""
    sentence = (
        f"{items:,}{'+' if items >= MOST_COUNTED else ''} parts of webhooks were not taken in: "
        + named([f"{item.reason} ({item.items:,})" for item in seen], reasons)
        + "; see headrace.webhook_reject: headrace webhooks rejects retry takes them in once the cause is mended, "
        "discard gives them up"
        if items
        else "every part of every webhook was taken in"
    )
    columns = ("reason", "items", "times", "first", "last", "examples")
    rows = [
        (i.reason, i.items, i.times, stamp(i.first_at), stamp(i.last_at), ", ".join(i.examples)) for i in seen
    ]
    return Finding(
        passed=not items,
        sentence=sentence,
        severe=False,
        numbers={"reasons": reasons, "items": items, "times": times},
        listings={"reject_table": Listing.of(columns, rows, reasons)} if rows else {},
    )


def _name(value: str | None) -> str:
    """A value in readable form: quoted unless it is a single word."""
    if value is None:
        return "(null)"
    return short(value if value.isidentifier() else repr(value))
