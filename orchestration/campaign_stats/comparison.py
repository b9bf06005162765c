"""Compares stored counters with recomputed ones: which campaigns, as of which moment, what differs.

Stored numbers follow the source rows within milliseconds, not in the same transaction. So a difference counts
only where nothing was on its way: in one snapshot, with no change behind it, of campaigns that wait for no
rebuild. What differs while changes are on their way is looked at again in a newer snapshot; what never came
to rest is left out, and counted.

A frozen campaign's numbers are those of its last freeze or amendment. Rows that the source has lost since do not make
them wrong, so a frozen campaign that lacks some is left out, and named; its document must agree with its counters and
its checksum all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

import sqlalchemy as sa

from orchestration.campaign_stats.counters import Counters
from orchestration.campaign_stats.recompute import STREAM
from orchestration.campaign_stats.tables import COUNTERS
from orchestration.dagster_kit.findings import Finding, Listing, named
from orchestration.database.statements import statement
from orchestration.database.transactions import snapshot

MOST_SNAPSHOTS = 6

Templates = Mapping[str | None, Counters]

_BEHIND = "SELECT coalesce(sum(rows_behind + more_behind::integer), 0)::bigint FROM headrace.stream_lag WHERE stream = %(stream)s"
_DEAD_LETTERS = "SELECT count(*) FROM headrace.dead_letter WHERE stream = %(stream)s"
_CANDIDATES = statement("campaign_stats", "campaigns_to_compare")
_STORED = """
    SELECT template_name, total, sent, delivered, read, replied, failed, failed_queue
    FROM headrace.campaign_template_stats WHERE campaign_id = %(campaign)s
"""
# Asked only where numbers differ: it costs as much as a recompute.
_ROWS_GONE = """
    SELECT headrace.missing_source_rows(k.source_rows, headrace.source_row_counts(k.campaign_id, k.source_rows)) <> '{}'
    FROM headrace.campaign k WHERE k.campaign_id = %(campaign)s
"""
_BROKEN_DOCUMENTS = """
    SELECT a.campaign_id FROM headrace.document_agreement a
    WHERE a.frozen AND NOT a.agrees ORDER BY a.campaign_id
"""
_RECOMPUTED = """
    SELECT template_name, total, sent, delivered, read, replied, failed, failed_queue
    FROM headrace.live_counters(%(campaign)s)
"""


@dataclass(frozen=True)
class Candidate:
    """A campaign that may be compared.

    Attributes:
        pending: it waits for its rebuild.
        messages: as stored.
        frozen: its numbers stand, whatever the source has lost since.
        on_its_own: frozen, and deleted in the source or with an amendment that waits for a decision: there is nothing
            that its numbers must equal.
    """

    campaign: UUID
    pending: bool
    messages: int
    frozen: bool = False
    on_its_own: bool = False


@dataclass(frozen=True)
class Difference:
    """One counter of one template (None: of messages without one) that is not what the source rows say."""

    campaign: UUID
    template: str | None
    counter: str
    stored: int
    recomputed: int

    def __str__(self) -> str:
        template = "without template" if self.template is None else f"template {self.template}"
        numbers = f"stored {self.stored}, recomputed {self.recomputed}"
        return f"campaign {self.campaign}, {template}, {self.counter}: {numbers}"


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        compared, messages: campaigns compared and judged, and their stored messages.
        differences: proven wrong, at most one entry per campaign, template and counter.
        pending_rebuild: campaigns left out because they wait for their rebuild.
        pending_changes: campaigns left out because they differed whenever they were looked at, while changes
            that may explain it were on their way.
        rows_gone: frozen campaigns left out because the source has fewer rows than they were counted from.
        broken_documents: of all frozen campaigns those whose document does not agree with their counters or its checksum.
        not_looked_at: campaigns beyond the bounds.
        rows_behind: changes on their way in the last snapshot.
        dead_letters: changes that could not be applied; they can be the reason of a difference.
        snapshots: how many were taken.
    """

    compared: int
    messages: int
    differences: tuple[Difference, ...]
    pending_rebuild: tuple[UUID, ...]
    pending_changes: tuple[UUID, ...]
    rows_gone: tuple[UUID, ...]
    broken_documents: tuple[UUID, ...]
    not_looked_at: int
    rows_behind: int
    dead_letters: int
    snapshots: int


def differences(campaign: UUID, stored: Templates, recomputed: Templates) -> list[Difference]:
    """Every counter that differs; a template that one side lacks counts nothing there."""
    found = []
    for template in sorted(stored.keys() | recomputed.keys(), key=lambda name: (name is None, name or "")):
        left, right = stored.get(template, Counters()), recomputed.get(template, Counters())
        for counter in COUNTERS:
            if getattr(left, counter) != getattr(right, counter):
                found.append(
                    Difference(campaign, template, counter, getattr(left, counter), getattr(right, counter))
                )
    return found


def choose(candidates: Sequence[Candidate], newest: int | None, most_messages: int | None) -> list[Candidate]:
    """The first so many candidates, cut where their messages exceed the bound; the first one always."""
    chosen: list[Candidate] = []
    messages = 0
    for candidate in islice(candidates, newest):
        messages += candidate.messages
        if chosen and most_messages is not None and messages > most_messages:
            break
        chosen.append(candidate)
    return chosen


def compare(
    engine: sa.Engine,
    catch_up: Callable[[], None],
    *,
    newest: int | None,
    most_messages: int | None,
) -> Comparison:
    """Compares the newest campaigns; None: no such bound.

    Args:
        catch_up: applies what the stream holds, as far as it gets; called before every snapshot.

    Raises:
        HeadraceError: the database is out of reach, Headrace not installed, a right missing.
    """
    catch_up()
    with snapshot(engine) as connection:
        behind = _behind(connection)
        candidates = [Candidate(*row) for row in connection.exec_driver_sql(_CANDIDATES)]
        dead_letters = connection.exec_driver_sql(_DEAD_LETTERS, {"stream": STREAM}).scalar_one()
        chosen = choose(candidates, newest, most_messages)
        pending = [candidate.campaign for candidate in chosen if candidate.pending]
        gone = [c.campaign for c in chosen if c.on_its_own and not c.pending]
        found = _compare(connection, [c.campaign for c in chosen if not (c.pending or c.on_its_own)])
        gone += _without_rows(connection, found, candidates)
        broken = connection.exec_driver_sql(_BROKEN_DOCUMENTS).scalars().all()
    snapshots = 1
    while found and behind and snapshots < MOST_SNAPSHOTS:
        catch_up()
        with snapshot(engine) as connection:
            behind = _behind(connection)
            seen = [Candidate(*row) for row in connection.exec_driver_sql(_CANDIDATES)]
            waiting = {candidate.campaign for candidate in seen if candidate.pending}
            alone = {candidate.campaign for candidate in seen if candidate.on_its_own} - waiting
            pending += [campaign for campaign in found if campaign in waiting]
            gone += [campaign for campaign in found if campaign in alone]
            found = _compare(connection, [campaign for campaign in found if campaign not in waiting | alone])
            gone += _without_rows(connection, found, seen)
        snapshots += 1
    undecided = tuple(found) if behind else ()
    left_out = {*pending, *undecided, *gone}
    judged = [candidate for candidate in chosen if candidate.campaign not in left_out]
    return Comparison(
        compared=len(judged),
        messages=sum(candidate.messages for candidate in judged),
        differences=() if behind else tuple(item for items in found.values() for item in items),
        pending_rebuild=tuple(pending),
        pending_changes=undecided,
        rows_gone=tuple(gone),
        broken_documents=tuple(broken),
        not_looked_at=len(candidates) - len(chosen),
        rows_behind=behind,
        dead_letters=dead_letters,
        snapshots=snapshots,
    )


def judge_comparison(found: Comparison) -> Finding:
    """Passed where nothing differs; a failure names campaign, template, counter, stored and recomputed number."""
    left_out = [*found.pending_rebuild, *found.pending_changes]
    but = f"; {len(left_out)} left out with changes on their way" if left_out else ""
    if found.rows_gone:
        but += f"; {len(found.rows_gone)} frozen ones left out, the source has lost rows of them"
    letters = (
        f"; {found.dead_letters} dead letters may be why: headrace dead-letters list"
        if found.dead_letters
        else ""
    )
    wrong = [
        *(
            f"campaign {campaign} is frozen, and its document does not agree with its counters or checksum "
            f"(headrace rebuild {campaign} counts it anew, on record)"
            for campaign in found.broken_documents
        ),
        *map(str, found.differences),
    ]
    sentence = (
        named(wrong) + but + letters
        if wrong
        else f"{found.compared} campaigns, {found.messages} messages: stored equals recomputed{but}"
    )
    listings = {}
    if found.differences:
        columns = {
            "campaign": "string",
            "template": "string",
            "counter": "string",
            "stored": "int",
            "recomputed": "int",
        }
        rows = [
            (str(item.campaign), item.template or "", item.counter, item.stored, item.recomputed)
            for item in found.differences
        ]
        listings["difference_table"] = Listing.of(columns, rows)
    for name, campaigns in (
        ("left_out_table", [*left_out, *found.rows_gone]),
        ("broken_document_table", found.broken_documents),
    ):
        if campaigns:
            listings[name] = Listing.of({"campaign": "string"}, [(str(campaign),) for campaign in campaigns])
    return Finding(
        passed=not wrong,
        sentence=sentence,
        severe=True,
        numbers={
            "campaigns_compared": found.compared,
            "messages_compared": found.messages,
            "left_out_pending_rebuild": len(found.pending_rebuild),
            "left_out_pending_changes": len(found.pending_changes),
            "left_out_frozen_rows_gone": len(found.rows_gone),
            "broken_frozen_documents": len(found.broken_documents),
            "campaigns_not_looked_at": found.not_looked_at,
            "rows_behind": found.rows_behind,
            "dead_letters": found.dead_letters,
            "snapshots": found.snapshots,
            "differences": len(found.differences),
        },
        listings=listings,
    )


def _compare(connection: sa.Connection, campaigns: Sequence[UUID]) -> dict[UUID, list[Difference]]:
    """What differs, by campaign; campaigns without a difference are not in it.

    One campaign at a time: only then does the condition reach every scan of the live view.
    """
    found = {}
    for campaign in campaigns:
        stored, recomputed = (_templates(connection, query, campaign) for query in (_STORED, _RECOMPUTED))
        if items := differences(campaign, stored, recomputed):
            found[campaign] = items
    return found


def _without_rows(
    connection: sa.Connection, found: dict[UUID, list[Difference]], candidates: Sequence[Candidate]
) -> list[UUID]:
    """Takes frozen campaigns out of `found` that lack rows they were counted from; which ones."""
    frozen = {candidate.campaign for candidate in candidates if candidate.frozen}
    gone = [
        campaign
        for campaign in found
        if campaign in frozen and connection.exec_driver_sql(_ROWS_GONE, {"campaign": campaign}).scalar_one()
    ]
    for campaign in gone:
        del found[campaign]
    return gone


def _templates(connection: sa.Connection, query: str, campaign: UUID) -> dict[str | None, Counters]:
    return {row[0]: Counters(*row[1:]) for row in connection.exec_driver_sql(query, {"campaign": campaign})}


def _behind(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql(_BEHIND, {"stream": STREAM}).scalar_one())
