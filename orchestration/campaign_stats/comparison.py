"""Compares stored counters with recomputed ones: which campaigns, as of which moment, what differs.

Stored numbers follow the source rows within milliseconds, not in the same transaction. So a difference counts
only where nothing was on its way: in one snapshot, with no change behind it, of campaigns that wait for no
rebuild. What differs while changes are on their way is looked at again in a newer snapshot; what never came
to rest is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

import sqlalchemy as sa

from orchestration.campaign_stats.access import snapshot
from orchestration.campaign_stats.counters import Counters
from orchestration.campaign_stats.findings import Finding, Listing, named
from orchestration.campaign_stats.tables import COUNTERS
from orchestration.campaign_stats.upkeep import STREAM

MOST_SNAPSHOTS = 6

Templates = Mapping[str | None, Counters]

_BEHIND = "SELECT coalesce(sum(rows_behind), 0)::bigint FROM headrace.stream_lag WHERE stream = %(stream)s"
_DEAD_LETTERS = "SELECT count(*) FROM headrace.dead_letter WHERE stream = %(stream)s"
# A campaign that the source lacks but Headrace counts comes first: its numbers must be gone.
_CANDIDATES = """
    SELECT
        coalesce(c.campaign_id, k.campaign_id),
        k.rebuild_requested_at IS NOT NULL OR k.state IS NOT DISTINCT FROM 'pending',
        coalesce(m.messages, 0)::bigint
    FROM headrace.stg_campaigns c
    FULL JOIN (SELECT * FROM headrace.campaign) k ON k.campaign_id = c.campaign_id
    LEFT JOIN LATERAL (
        SELECT sum(s.total) AS messages FROM headrace.campaign_template_stats s
        WHERE s.campaign_id = coalesce(c.campaign_id, k.campaign_id)
    ) m ON true
    WHERE c.campaign_id IS NOT NULL OR k.state <> 'deleted' OR m.messages IS NOT NULL
    ORDER BY c.created_at DESC NULLS FIRST, 1
"""
_STORED = """
    SELECT template_name, total, sent, delivered, read, replied, failed, failed_queue
    FROM headrace.campaign_template_stats WHERE campaign_id = %(campaign)s
"""
_RECOMPUTED = """
    SELECT template_name, total, sent, delivered, read, replied, failed, failed_queue
    FROM headrace.campaign_template_stats_live WHERE campaign_id = %(campaign)s
"""


@dataclass(frozen=True)
class Candidate:
    """A campaign that may be compared. pending: it waits for its rebuild; messages: as stored."""

    campaign: UUID
    pending: bool
    messages: int


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
        found = _compare(connection, [candidate.campaign for candidate in chosen if not candidate.pending])
    snapshots = 1
    while found and behind and snapshots < MOST_SNAPSHOTS:
        catch_up()
        with snapshot(engine) as connection:
            behind = _behind(connection)
            waiting = {row[0] for row in connection.exec_driver_sql(_CANDIDATES) if row[1]}
            pending += [campaign for campaign in found if campaign in waiting]
            found = _compare(connection, [campaign for campaign in found if campaign not in waiting])
        snapshots += 1
    undecided = tuple(found) if behind else ()
    left_out = {*pending, *undecided}
    judged = [candidate for candidate in chosen if candidate.campaign not in left_out]
    return Comparison(
        compared=len(judged),
        messages=sum(candidate.messages for candidate in judged),
        differences=() if behind else tuple(item for items in found.values() for item in items),
        pending_rebuild=tuple(pending),
        pending_changes=undecided,
        not_looked_at=len(candidates) - len(chosen),
        rows_behind=behind,
        dead_letters=dead_letters,
        snapshots=snapshots,
    )


def judge_comparison(found: Comparison) -> Finding:
    """Passed where nothing differs; a failure names campaign, template, counter, stored and recomputed number."""
    left_out = [*found.pending_rebuild, *found.pending_changes]
    but = f"; {len(left_out)} left out with changes on their way" if left_out else ""
    letters = (
        f"; {found.dead_letters} dead letters may be why: headrace dead-letters list"
        if found.dead_letters
        else ""
    )
    sentence = (
        named([str(item) for item in found.differences]) + but + letters
        if found.differences
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
    if left_out:
        listings["left_out_table"] = Listing.of(
            {"campaign": "string"}, [(str(campaign),) for campaign in left_out]
        )
    return Finding(
        passed=not found.differences,
        sentence=sentence,
        severe=True,
        numbers={
            "campaigns_compared": found.compared,
            "messages_compared": found.messages,
            "left_out_pending_rebuild": len(found.pending_rebuild),
            "left_out_pending_changes": len(found.pending_changes),
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


def _templates(connection: sa.Connection, query: str, campaign: UUID) -> dict[str | None, Counters]:
    return {row[0]: Counters(*row[1:]) for row in connection.exec_driver_sql(query, {"campaign": campaign})}


def _behind(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql(_BEHIND, {"stream": STREAM}).scalar_one())
