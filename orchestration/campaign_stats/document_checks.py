"""Whether the documents that are served say what the counters say, and whether what they say is possible.

The counters cannot break the funnel: the table refuses it. A document is JSON, and could say anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from orchestration.dagster_kit.findings import MOST_NAMED, MOST_ROWS, Cell, Finding, Listing, named

_DOCUMENTS = """
    SELECT count(*), coalesce(sum(jsonb_array_length(template_stats)) FILTER (WHERE jsonb_typeof(template_stats) = 'array'), 0)::bigint
    FROM headrace.campaign_computed_stats
"""
_FAULTS = """
    SELECT campaign_id, place, is_total, template_name, problem, said, counted, count(*) OVER (), max(nth) OVER ()
    FROM (SELECT f.*, dense_rank() OVER (ORDER BY f.campaign_id) AS nth FROM headrace.document_faults f) ranked
    ORDER BY campaign_id, is_total, template_name, problem LIMIT %(most)s
"""


@dataclass(frozen=True)
class DocumentFault:
    """One thing that is wrong with a document, or with the counters.

    Attributes:
        place: document or counters.
        is_total: it is about the campaign's totals; otherwise about one template, which may have no name.
        said: what stands there; counted: what should, or what bounds it. As JSON has them; None: nothing.
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
    """documents, templates: how many were looked at. faults: the first ones; all_faults, campaigns: how many there are."""

    documents: int
    templates: int
    faults: tuple[DocumentFault, ...] = ()
    all_faults: int = 0
    campaigns: int = 0


def read_documents(connection: sa.Connection) -> Documents:
    """All documents there are, against all counters."""
    documents, templates = connection.exec_driver_sql(_DOCUMENTS).one()
    rows = connection.exec_driver_sql(_FAULTS, {"most": MOST_ROWS}).all()
    faults = tuple(
        DocumentFault(campaign, place, is_total, template, problem, _cell(said), _cell(counted))
        for campaign, place, is_total, template, problem, said, counted, _, _ in rows
    )
    all_faults, campaigns = rows[0][7:] if rows else (0, 0)
    return Documents(documents, templates, faults, all_faults, campaigns)


def judge_documents(seen: Documents) -> Finding:
    """Passed where nothing is wrong."""
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
    columns = {
        "campaign": "string",
        "template": "string",
        "place": "string",
        "problem": "string",
        "said": "string",
        "counted": "string",
    }
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
