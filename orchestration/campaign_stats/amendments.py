"""Amendments that wait for an operator: something late happened to a frozen campaign whose source rows are no longer all there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from orchestration.dagster_kit.findings import MOST_NAMED, MOST_ROWS, Finding, Listing, named, stamp

_WAITING = """
    SELECT
        p.campaign_id, coalesce(c.name, d.facts ->> 'name'), p.why ->> 'reason', p.first_at, p.times,
        p.source_rows_then, p.source_rows_now, count(*) OVER (),
        extract(EPOCH FROM clock_timestamp() - min(p.first_at) OVER ())::float
    FROM headrace.campaign_stats_pending_amendment p
    LEFT JOIN headrace.campaigns_named(ARRAY(SELECT w.campaign_id FROM headrace.campaign_stats_pending_amendment w)) c
        ON c.campaign_id = p.campaign_id
    LEFT JOIN headrace.campaign_computed_stats d ON d.campaign_id = p.campaign_id
    ORDER BY p.first_at, p.campaign_id LIMIT %(most)s
"""


@dataclass(frozen=True)
class WaitingAmendment:
    """An amendment that was put off.

    Attributes:
        reason: what asked for it: late changes, reopened, recount.
        since: when it was put off first; times: how often by now.
        rows_then, rows_now: source rows by table, at the freeze and when it was put off last.
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
    """The tables that have fewer rows now, with how many then and now."""
    return ", ".join(
        f"{table} {count:,} → {now.get(table, 0):,}"
        for table, count in sorted(then.items())
        if now.get(table, 0) < count
    )


def read_amendments(connection: sa.Connection) -> WaitingAmendments:
    """The amendments that wait now, the oldest first."""
    rows = connection.exec_driver_sql(_WAITING, {"most": MOST_ROWS}).all()
    if not rows:
        return WaitingAmendments()
    return WaitingAmendments(tuple(WaitingAmendment(*row[:7]) for row in rows), *rows[0][7:])


def judge_amendments(seen: WaitingAmendments) -> Finding:
    """Passed where none waits; otherwise a warning, for the frozen numbers stand."""
    if seen.all:
        sentence = (
            f"{named([str(amendment) for amendment in seen.first], seen.all)}. Something late happened to them, but rows they "
            "were counted from are gone. To decide: job amend_campaigns for "
            + " ".join(str(amendment.campaign) for amendment in seen.first[:MOST_NAMED])
        )
    else:
        sentence = "no amendment of a frozen campaign waits"
    columns = {
        "campaign": "string",
        "name": "string",
        "reason": "string",
        "since": "string",
        "times": "int",
        "fewer rows": "string",
    }
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
