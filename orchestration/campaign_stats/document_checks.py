"""Whether the served documents say what the counters say, and nothing impossible; and which campaigns wait for an operator.

The counters cannot break the funnel: constraints of their table prevent it. A document is JSON, and could say anything. An amendment
waits if something late happened to a frozen campaign and the source has lost some of its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from orchestration.dagster_kit.findings import MOST_NAMED, MOST_ROWS, Cell, Finding, Listing, named, stamp
from orchestration.database.statements import statement


@dataclass(frozen=True)
class DocumentFault:
    """One thing that is wrong with a document, or with the counters.

    Attributes:
        place: document or counters.
        is_total: it is about the campaign's totals; otherwise about one template, which may have no name.
        said: the value found; counted: the value expected, or its bound. Both as in JSON; None: no value.
    """

    campaign: UUID
    place: str
    is_total: bool
    template: str | None
    problem: str
    said: Cell
    counted: Cell

    def __str__(self) -> str:
        part = (
            "totals" if self.is_total else f"template {'(none)' if self.template is None else self.template}"
        )
        values = ""
        if " exceeds " in self.problem:
            values = f" ({_text(self.said)} > {_text(self.counted)})"
        elif self.said is not None or self.counted is not None:
            values = f" (it says {_text(self.said)}, the counters say {_text(self.counted)})"
        return f"campaign {self.campaign}, {part}: {self.place} {self.problem}{values}"


@dataclass(frozen=True)
class Documents:
    """documents, templates: how many were read. faults: the first ones; all_faults: how many, in how many campaigns."""

    documents: int
    templates: int
    faults: tuple[DocumentFault, ...] = ()
    all_faults: int = 0
    campaigns: int = 0


def read_documents(connection: sa.Connection) -> Documents:
    """Compares all documents with all counters."""
    documents, templates = connection.exec_driver_sql(
        statement("campaign_stats", "documents_counted"), {}
    ).one()
    listed = statement("campaign_stats", "document_faults_listed")
    rows = connection.exec_driver_sql(listed, {"most": MOST_ROWS}).all()
    faults = tuple(
        DocumentFault(campaign, place, is_total, template, problem, _cell(said), _cell(counted))
        for campaign, place, is_total, template, problem, said, counted, _, _ in rows
    )
    all_faults, campaigns = rows[0][7:] if rows else (0, 0)
    return Documents(documents, templates, faults, all_faults, campaigns)


def judge_documents(seen: Documents) -> Finding:
    """Passes if there are no faults."""
    if seen.all_faults:
        sentence = (
            named([str(fault) for fault in seen.faults], seen.all_faults)
            + f". To write them anew: headrace rebuild {_campaigns(seen.faults)}"
        )
    else:
        sentence = (
            f"{seen.documents:,} documents with {seen.templates:,} templates say what the counters say: "
            "total ≥ sent ≥ delivered ≥ read, replied ≤ sent, failed ≤ total - delivered"
        )
    columns = ("campaign", "template", "place", "problem", "said", "counted")
    rows: Sequence[tuple[Cell, ...]] = [
        (
            str(fault.campaign),
            "(totals)" if fault.is_total else fault.template,
            fault.place,
            fault.problem,
            _text(fault.said),
            _text(fault.counted),
        )
        for fault in seen.faults
    ]
    return Finding(
        passed=not seen.all_faults,
        sentence=sentence,
        severe=True,
        numbers={
            "documents": seen.documents,
            "templates": seen.templates,
            "faults": seen.all_faults,
            "campaigns_with_faults": seen.campaigns,
        },
        listings={"fault_table": Listing.of(columns, rows, seen.all_faults)} if seen.all_faults else {},
    )


def _cell(value: object) -> Cell:
    """A JSON value as a cell."""
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _text(value: Cell) -> str:
    return "nothing" if value is None else str(value)


def _campaigns(faults: Sequence[DocumentFault]) -> str:
    return " ".join(list(dict.fromkeys(str(fault.campaign) for fault in faults))[:MOST_NAMED])


@dataclass(frozen=True)
class WaitingAmendment:
    """An amendment that was postponed.

    Attributes:
        reason: what asked for it: late changes, reopened, recount.
        since: when it was first postponed; times: how often so far.
        rows_then, rows_now: source rows by table, at the freeze and when it was last postponed.
    """

    campaign: UUID
    name: str | None
    reason: str
    since: datetime
    times: int
    rows_then: Mapping[str, int]
    rows_now: Mapping[str, int]

    def __str__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"campaign {self.campaign}{name} since {stamp(self.since)}: {fewer_rows(self.rows_then, self.rows_now)}"


@dataclass(frozen=True)
class WaitingAmendments:
    """first: the oldest ones; all: how many there are; oldest_seconds: the age of the oldest."""

    first: tuple[WaitingAmendment, ...] = ()
    all: int = 0
    oldest_seconds: float = 0.0


def fewer_rows(then: Mapping[str, int], now: Mapping[str, int]) -> str:
    """The tables that have fewer rows now, with both numbers."""
    return ", ".join(
        f"{table} {count:,} → {now.get(table, 0):,}"
        for table, count in sorted(then.items())
        if now.get(table, 0) < count
    )


def read_amendments(connection: sa.Connection) -> WaitingAmendments:
    """The amendments that wait, oldest first."""
    rows = connection.exec_driver_sql(
        statement("campaign_stats", "amendments_waiting"), {"most": MOST_ROWS}
    ).all()
    if not rows:
        return WaitingAmendments()
    return WaitingAmendments(tuple(WaitingAmendment(*row[:7]) for row in rows), *rows[0][7:])


def judge_amendments(seen: WaitingAmendments) -> Finding:
    """Passes if none waits; otherwise warns, because the frozen numbers stand."""
    sentence = "no amendment of a frozen campaign waits"
    if seen.all:
        sentence = (
            f"{named([str(amendment) for amendment in seen.first], seen.all)}. Something late happened to them, but rows they "
            "were counted from are gone. To decide: job amend_campaigns for "
            + " ".join(str(amendment.campaign) for amendment in seen.first[:MOST_NAMED])
        )
    columns = ("campaign", "name", "reason", "since", "times", "fewer rows")
    rows = [
        (
            str(amendment.campaign),
            amendment.name,
            amendment.reason,
            stamp(amendment.since),
            amendment.times,
            fewer_rows(amendment.rows_then, amendment.rows_now),
        )
        for amendment in seen.first
    ]
    return Finding(
        passed=not seen.all,
        sentence=sentence,
        severe=False,
        numbers={"amendments_pending": seen.all, "oldest_seconds": round(seen.oldest_seconds, 1)},
        listings={"amendments": Listing.of(columns, rows, seen.all)} if seen.all else {},
    )
