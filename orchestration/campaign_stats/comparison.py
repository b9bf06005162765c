"""Compares stored counters with recomputed ones: which campaigns, in which snapshot, what differs.

Stored numbers follow the source rows within milliseconds, not in the same transaction. So a difference counts
only if nothing was pending: both numbers come from one snapshot, all changes it sees are applied, and the campaign
waits for no rebuild. A campaign that differs while changes are pending is compared again in a newer snapshot. If it
never comes to rest, it is left out, and counted as such.

A frozen campaign's numbers are those of its last freeze or amendment. They do not become wrong when the source loses
rows, so a frozen campaign that lacks rows is left out, and named. Its document must still agree with its counters and
its checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

import sqlalchemy as sa

from orchestration.campaign_stats.counters import COUNTERS, Counters
from orchestration.campaign_stats.recompute import STREAM
from orchestration.dagster_kit.findings import Finding, Listing, named
from orchestration.database.statements import statement
from orchestration.database.transactions import snapshot
from orchestration.engine.backlog import read_letters, read_shards

MOST_SNAPSHOTS = 6

Templates = Mapping[str | None, Counters]

_STORED = (
    "SELECT template_name, total, sent, delivered, read, replied, failed, failed_queue"
    " FROM headrace.campaign_template_stats WHERE campaign_id = %(campaign)s"
)
_RECOMPUTED = (
    "SELECT template_name, total, sent, delivered, read, replied, failed, failed_queue"
    " FROM headrace.live_counters(%(campaign)s)"
)
_BROKEN_DOCUMENTS = (
    "SELECT campaign_id FROM headrace.document_agreement WHERE frozen AND NOT agrees ORDER BY campaign_id"
)


@dataclass(frozen=True)
class Candidate:
    """A campaign that may be compared.

    Attributes:
        pending: it waits for its rebuild.
        messages: their stored number.
        frozen: its numbers stand, even if the source has lost rows since.
        on_its_own: it is frozen, and either deleted in the source or waiting for a decision on an amendment. Its numbers
            need not equal anything.
    """

    campaign: UUID
    pending: bool
    messages: int
    frozen: bool = False
    on_its_own: bool = False


@dataclass(frozen=True)
class Difference:
    """A counter of one template that is not what the source rows say. template None: messages without a template."""

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
    """The result of a comparison.

    Attributes:
        compared, messages: how many campaigns were compared and judged, and how many messages are stored for them.
        differences: proven ones, at most one per campaign, template and counter.
        pending_rebuild: campaigns left out because they wait for their rebuild.
        pending_changes: campaigns left out because they differed in every snapshot, while pending changes could
            explain the difference.
        rows_gone: frozen campaigns left out because the source has fewer rows than they were counted from.
        broken_documents: those of all frozen campaigns whose document disagrees with their counters or its checksum.
        not_looked_at: how many campaigns are beyond the bounds.
        rows_behind: changes not yet applied in the last snapshot.
        dead_letters: changes that could not be applied; they may explain a difference.
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
    """Every counter that differs. If one side lacks a template, its counters are 0 there."""
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
    """The first candidates, at most `newest`, with at most `most_messages` messages in all. The first one is always chosen."""
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
    """Compares the newest campaigns. A bound that is None does not apply.

    Args:
        catch_up: applies what the stream holds, as far as it gets; called before every snapshot.

    Raises:
        HeadraceError: the database is out of reach, Headrace is not installed, or a right is missing.
    """
    chosen: list[Candidate] = []
    pending: list[UUID] = []
    gone: list[UUID] = []
    for snapshots in range(1, MOST_SNAPSHOTS + 1):
        catch_up()
        with snapshot(engine) as connection:
            behind = _behind(connection)
            seen = {candidate.campaign: candidate for candidate in _candidates(connection)}
            if snapshots == 1:
                chosen = choose(list(seen.values()), newest, most_messages)
                left = [candidate.campaign for candidate in chosen]
                not_looked_at = len(seen) - len(chosen)
                dead_letters = read_letters(connection, STREAM).all
                broken = connection.exec_driver_sql(_BROKEN_DOCUMENTS).scalars().all()
            waiting = [campaign for campaign in left if campaign in seen and seen[campaign].pending]
            alone = [campaign for campaign in left if campaign in seen and seen[campaign].on_its_own]
            alone = [campaign for campaign in alone if campaign not in waiting]
            found = _compare(
                connection, [campaign for campaign in left if campaign not in {*waiting, *alone}]
            )
            pending += waiting
            gone += alone + _without_rows(connection, found, seen)
        left = list(found)
        if not (found and behind):
            break
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
        not_looked_at=not_looked_at,
        rows_behind=behind,
        dead_letters=dead_letters,
        snapshots=snapshots,
    )


def judge_comparison(found: Comparison) -> Finding:
    """Passes if nothing differs. A failure names campaign, template and counter, with the stored and the recomputed number."""
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
        rows = [
            (str(item.campaign), item.template or "", item.counter, item.stored, item.recomputed)
            for item in found.differences
        ]
        columns = ("campaign", "template", "counter", "stored", "recomputed")
        listings["difference_table"] = Listing.of(columns, rows)
    for name, campaigns in (
        ("left_out_table", [*left_out, *found.rows_gone]),
        ("broken_document_table", found.broken_documents),
    ):
        if campaigns:
            listings[name] = Listing.of(("campaign",), [(str(campaign),) for campaign in campaigns])
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
    """The differences by campaign; campaigns without any are absent.

    Reads one campaign at a time: only then does the condition reach every scan of the live view.
    """
    found = {}
    for campaign in campaigns:
        stored, recomputed = (_templates(connection, query, campaign) for query in (_STORED, _RECOMPUTED))
        if items := differences(campaign, stored, recomputed):
            found[campaign] = items
    return found


def _without_rows(
    connection: sa.Connection, found: dict[UUID, list[Difference]], seen: Mapping[UUID, Candidate]
) -> list[UUID]:
    """Removes frozen campaigns from `found` if they lack rows that they were counted from, and returns them."""
    # Only for campaigns that differ: it costs as much as a recompute.
    frozen = [campaign for campaign in found if campaign in seen and seen[campaign].frozen]
    parameters = {"campaigns": frozen}
    gone = list(connection.exec_driver_sql(statement("campaign_stats", "rows_lost"), parameters).scalars())
    for campaign in gone:
        del found[campaign]
    return gone


def _candidates(connection: sa.Connection) -> list[Candidate]:
    rows = connection.exec_driver_sql(statement("campaign_stats", "comparison_candidates"), {})
    return [Candidate(*row) for row in rows]


def _templates(connection: sa.Connection, query: str, campaign: UUID) -> dict[str | None, Counters]:
    return {row[0]: Counters(*row[1:]) for row in connection.exec_driver_sql(query, {"campaign": campaign})}


def _behind(connection: sa.Connection) -> int:
    return sum(shard.rows_behind + shard.more_behind for shard in read_shards(connection, [STREAM]))
