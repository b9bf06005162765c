"""Freezing, reopening and amending campaigns by an operator's decision.

Here: what is looked at before and after, what is refused, and in which portions it is done. Not here: what freezing means (SQL:
freeze_campaigns, reopen_campaigns, amend_campaigns; docs/lifecycle.md), and Dagster (jobs.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from orchestration.campaign_stats.amendments import fewer_rows
from orchestration.campaign_stats.ids import read_ids, say
from orchestration.database.statements import statement
from orchestration.database.transactions import execute, snapshot
from orchestration.errors import HeadraceError
from orchestration.text import LONGEST_NAME, clean, cut

MOST_CAMPAIGNS = 1000
_FROZEN = ("frozen", "amended")

_LOOK = statement("campaign_stats", "standings")
_LOST = statement("campaign_stats", "campaigns_with_fewer_rows")
_FREEZE = "SELECT headrace.freeze_campaigns(%(campaigns)s::uuid[])"
_REOPEN = "SELECT headrace.reopen_campaigns(%(campaigns)s::uuid[], %(accept)s)"
_AMEND = "SELECT headrace.amend_campaigns(%(campaigns)s::uuid[], %(accept)s)"


@dataclass(frozen=True)
class Standing:
    """A campaign as it stands.

    Attributes:
        exists: the application has it.
        state: of its life; None: never counted. version, frozen_at: of its document; None: it has none, is not frozen.
        rows_then, rows_now: source rows by table when it was frozen and when its amendment was put off; None: none waits.
    """

    id: UUID
    name: str | None
    exists: bool
    state: str | None
    version: int | None
    frozen_at: datetime | None
    rows_then: Mapping[str, int] | None = None
    rows_now: Mapping[str, int] | None = None

    @property
    def frozen(self) -> bool:
        return self.state in _FROZEN

    def __str__(self) -> str:
        text = self.state or "never counted"
        return text if self.version is None else f"{text}, version {self.version}"


@dataclass(frozen=True)
class Outcome:
    """What became, or with a dry run would become, of one campaign. said: in words."""

    before: Standing
    after: Standing
    said: str

    def __str__(self) -> str:
        name = f" ({cut(clean(self.before.name), LONGEST_NAME)})" if self.before.name else ""
        return f"campaign {self.before.id}{name}: {self.said}"


def read_campaigns(texts: Sequence[str]) -> list[UUID]:
    """The ids that an operator names, each once.

    Raises:
        HeadraceError: there are none or too many, or some are no UUIDs.
    """
    campaigns = read_ids(texts)
    if not campaigns:
        raise HeadraceError("name at least one campaign, by its id; nothing was done")
    if len(campaigns) > MOST_CAMPAIGNS:
        raise HeadraceError(
            f"{len(campaigns)} campaigns are too many for one run, name at most {MOST_CAMPAIGNS}; nothing was done"
        )
    return campaigns


def freeze(
    engine: sa.Engine, campaigns: Sequence[UUID], *, dry_run: bool, log: Callable[[str], None]
) -> list[Outcome]:
    """Freezes campaigns now, whatever their status; those that are frozen stay as they are.

    Each is recomputed from its rows first. A transaction a campaign: what was done stays done if a later one fails.

    Args:
        log: told of each campaign, as soon as it is done.

    Raises:
        HeadraceError: the application does not have some of them, and nothing was done; or the database refuses one.
    """
    before = _look(engine, campaigns)
    _refuse(before, lambda campaign: not campaign.exists, "the application has no campaign")
    todo = {campaign.id: "would be frozen" for campaign in before if not campaign.frozen}
    return _each(engine, before, todo, _FREEZE, False, "is frozen already", dry_run, log)


def reopen(
    engine: sa.Engine,
    campaigns: Sequence[UUID],
    *,
    accept_fewer_rows: bool,
    dry_run: bool,
    log: Callable[[str], None],
) -> list[Outcome]:
    """Makes frozen campaigns live again; the frozen version is kept on record. Those that are not frozen stay as they are.

    Args:
        accept_fewer_rows: also where the source has fewer rows than when it was frozen: the numbers will lack them.
        log: as for `freeze`.

    Raises:
        HeadraceError: as `freeze`; also, without accept_fewer_rows, for campaigns with fewer rows.
    """
    before = _look(engine, campaigns)
    _refuse(before, lambda campaign: not campaign.exists, "the application has no campaign")
    todo = {campaign.id: "would be reopened" for campaign in before if campaign.frozen}
    lost = _lost(engine, list(todo))
    if lost and not accept_fewer_rows:
        named = say(f"{campaign} ({rows})" for campaign, rows in lost.items())
        raise HeadraceError(
            f"the source has fewer rows than when it was frozen of campaign {named}; "
            "accept_fewer_rows: true reopens it without them; nothing was done"
        )
    todo.update(
        {campaign: f"{todo[campaign]} without rows that are gone ({rows})" for campaign, rows in lost.items()}
    )
    return _each(engine, before, todo, _REOPEN, accept_fewer_rows, "is not frozen", dry_run, log)


def amend(
    engine: sa.Engine,
    campaigns: Sequence[UUID],
    *,
    accept_fewer_rows: bool,
    dry_run: bool,
    log: Callable[[str], None],
) -> list[Outcome]:
    """Decides amendments that wait because the source has fewer rows than when the campaign was frozen.

    Args:
        accept_fewer_rows: true: counted again from the rows that are left, the earlier version kept on record; false: the
            frozen numbers stand, and the amendment is given up.
        log: as for `freeze`.

    Raises:
        HeadraceError: no amendment waits for some of them, and nothing was done; or the database refuses one.
    """
    before = _look(engine, campaigns)
    _refuse(before, lambda campaign: campaign.rows_then is None, "no amendment waits for campaign")
    would = "would be counted from fewer rows" if accept_fewer_rows else "would stay as it is"
    todo = {
        campaign.id: f"{would} ({fewer_rows(campaign.rows_then or {}, campaign.rows_now or {})})"
        for campaign in before
    }
    return _each(engine, before, todo, _AMEND, accept_fewer_rows, "", dry_run, log)


def _look(engine: sa.Engine, campaigns: Sequence[UUID]) -> list[Standing]:
    with snapshot(engine) as connection:
        rows = connection.exec_driver_sql(_LOOK, {"campaigns": list(campaigns)})
        return [Standing(*row) for row in rows]


def _lost(engine: sa.Engine, campaigns: Sequence[UUID]) -> dict[UUID, str]:
    """Frozen campaigns of which the source has fewer rows now, with the tables and how many there were and are."""
    with snapshot(engine) as connection:
        rows = connection.exec_driver_sql(_LOST, {"campaigns": list(campaigns)})
        return {campaign: fewer_rows(then, now) for campaign, then, now in rows}


def _refuse(campaigns: Iterable[Standing], wrong: Callable[[Standing], bool], why: str) -> None:
    refused = [campaign.id for campaign in campaigns if wrong(campaign)]
    if refused:
        raise HeadraceError(f"{why} {say(refused)}; nothing was done")


def _each(
    engine: sa.Engine,
    before: Sequence[Standing],
    todo: Mapping[UUID, str],
    statement: str,
    accept: bool,
    otherwise: str,
    dry_run: bool,
    log: Callable[[str], None],
) -> list[Outcome]:
    """Does it to those that are to be done, one transaction each, and says of every campaign what became of it."""
    done: list[Outcome] = []
    for campaign in before:
        after = campaign
        if campaign.id not in todo:
            said = f"{otherwise}: {campaign}"
        elif dry_run:
            said = f"{todo[campaign.id]}; is {campaign}"
        else:
            try:
                execute(engine, [statement], {"campaigns": [campaign.id], "accept": accept})
            except HeadraceError as error:
                raise HeadraceError(
                    f"campaign {campaign.id}: {error}; {len(done)} of {len(before)} campaigns were dealt with before it"
                ) from error
            (after,) = _look(engine, [campaign.id])
            said = f"was {campaign}; is {after}"
        done.append(Outcome(campaign, after, said))
        log(str(done[-1]))
    return done
