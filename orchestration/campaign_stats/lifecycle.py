"""Freezing, reopening and amending campaigns by an operator's decision.

Here: what is read before and after, what is refused, and which transactions do it. Not here: what freezing means (SQL:
freeze_campaigns, reopen_campaigns, amend_campaigns; docs/lifecycle.md), Dagster (jobs.py) and the terminal (lifecycle_commands.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from orchestration.campaign_stats.document_checks import fewer_rows
from orchestration.database.statements import statement
from orchestration.database.transactions import execute, snapshot
from orchestration.errors import HeadraceError
from orchestration.text import LONGEST_NAME, clean, cut

MOST_CAMPAIGNS = 1000
MOST_SAID = 10
_FROZEN = ("frozen", "amended")


@dataclass(frozen=True)
class Standing:
    """The state that a campaign is in.

    Attributes:
        exists: the application has it.
        state: in its life cycle; None: never counted. version: of its document; None: it has none.
        rows_then, rows_now: source rows by table, when it was frozen and when its amendment was postponed; None: none waits.
    """

    id: UUID
    name: str | None
    exists: bool
    state: str | None
    version: int | None
    rows_then: Mapping[str, int] | None = None
    rows_now: Mapping[str, int] | None = None

    @property
    def frozen(self) -> bool:
        return self.state in _FROZEN

    @property
    def waits(self) -> bool:
        """Whether its amendment waits for a decision."""
        return self.rows_then is not None

    def __str__(self) -> str:
        text = self.state or "never counted"
        return text if self.version is None else f"{text}, version {self.version}"


@dataclass(frozen=True)
class Act:
    """What an operator can do to campaigns.

    Attributes:
        name: as in jobs and commands.
        statement: acts on %(campaigns)s; takes %(accept)s if fewer rows can be accepted.
        wanted: what every campaign must be; if one is not, all are refused with `refused`.
        applies: which campaigns it changes; the others `are_already`.
        would: what a dry run says if fewer rows are accepted, and if not.
    """

    name: str
    statement: str
    wanted: Callable[[Standing], bool]
    refused: str
    applies: Callable[[Standing], bool]
    are_already: str
    would: tuple[str, str]


ACTS = {
    act.name: act
    for act in (
        Act(
            "freeze",
            "SELECT headrace.freeze_campaigns(%(campaigns)s::uuid[])",
            wanted=lambda campaign: campaign.exists,
            refused="the application has no campaign",
            applies=lambda campaign: not campaign.frozen,
            are_already="frozen already",
            would=("would be frozen", "would be frozen"),
        ),
        Act(
            "reopen",
            "SELECT headrace.reopen_campaigns(%(campaigns)s::uuid[], %(accept)s)",
            wanted=lambda campaign: campaign.exists,
            refused="the application has no campaign",
            applies=lambda campaign: campaign.frozen,
            are_already="not frozen",
            would=("would be reopened", "would be reopened"),
        ),
        Act(
            "amend",
            "SELECT headrace.amend_campaigns(%(campaigns)s::uuid[], %(accept)s)",
            wanted=lambda campaign: campaign.waits,
            refused="no amendment waits for campaign",
            applies=lambda campaign: True,
            are_already="",
            would=("would be counted from fewer rows", "would stay as it is"),
        ),
    )
}


@dataclass(frozen=True)
class Outcome:
    """What an act did to one campaign, or would do in a dry run. said: the same in words."""

    before: Standing
    after: Standing
    said: str

    def __str__(self) -> str:
        name = f" ({cut(clean(self.before.name), LONGEST_NAME)})" if self.before.name else ""
        return f"campaign {self.before.id}{name}: {self.said}"


def read_ids(texts: Sequence[str]) -> list[UUID]:
    """Campaign ids from text, each once, in the order given.

    Raises:
        HeadraceError: some are not UUIDs; it names them.
    """
    found: dict[UUID, None] = {}
    wrong = []
    for text in texts:
        try:
            found[UUID(text.strip())] = None
        except ValueError:
            wrong.append(text)
    if wrong:
        raise HeadraceError(
            f"not the id of a campaign, which is a UUID: {say(map(repr, wrong))}; nothing was done"
        )
    return list(found)


def read_campaigns(texts: Sequence[str]) -> list[UUID]:
    """The ids that an operator names, each once.

    Raises:
        HeadraceError: there are none or too many, or some are not UUIDs.
    """
    campaigns = read_ids(texts)
    if not campaigns:
        raise HeadraceError("name at least one campaign, by its id; nothing was done")
    if len(campaigns) > MOST_CAMPAIGNS:
        raise HeadraceError(
            f"{len(campaigns)} campaigns are too many for one run, name at most {MOST_CAMPAIGNS}; nothing was done"
        )
    return campaigns


def say(items: Iterable[object]) -> str:
    """The first items, and how many more there are."""
    texts = [str(item) for item in items]
    more = len(texts) - MOST_SAID
    return ", ".join(texts[:MOST_SAID]) + (f" and {more} more" if more > 0 else "")


def carry_out(
    engine: sa.Engine,
    act: Act,
    campaigns: Sequence[UUID],
    *,
    accept_fewer_rows: bool,
    dry_run: bool,
    log: Callable[[str], None],
) -> list[Outcome]:
    """Carries out the act on the campaigns it applies to, one transaction each, and returns every campaign's outcome.

    What was done stays done if a later campaign fails.

    Args:
        accept_fewer_rows: for reopen: true also reopens a campaign whose source has lost rows since the freeze; its numbers will lack
            them. For amend: true counts again from the rows that are left, and keeps the earlier version on record; false lets the
            frozen numbers stand, and gives the amendment up.
        log: called for each campaign, as soon as it is done.

    Raises:
        HeadraceError: some are not as the act wants them, or have lost rows without accept_fewer_rows, and nothing was done; or the
            database refuses one.
    """
    before = look(engine, campaigns)
    refused = [campaign.id for campaign in before if not act.wanted(campaign)]
    if refused:
        raise HeadraceError(f"{act.refused} {say(refused)}; nothing was done")
    would = act.would[0] if accept_fewer_rows else act.would[1]
    todo = {campaign.id: would + _rows_gone(campaign, act) for campaign in before if act.applies(campaign)}
    if act.name == "reopen":
        lost = _lost(engine, list(todo))
        if lost and not accept_fewer_rows:
            named = say(f"{campaign} ({rows})" for campaign, rows in lost.items())
            raise HeadraceError(
                f"the source has fewer rows than when it was frozen of campaign {named}; "
                "accept_fewer_rows: true reopens it without them; nothing was done"
            )
        todo |= {campaign: f"{would} without rows that are gone ({rows})" for campaign, rows in lost.items()}
    done: list[Outcome] = []
    for campaign in before:
        after = campaign
        if campaign.id not in todo:
            said = f"is {act.are_already}: {campaign}"
        elif dry_run:
            said = f"{todo[campaign.id]}; is {campaign}"
        else:
            try:
                after = carry_out_on(engine, act, campaign.id, accept_fewer_rows)
            except HeadraceError as error:
                raise HeadraceError(
                    f"campaign {campaign.id}: {error}; {len(done)} of {len(before)} campaigns were dealt with before it"
                ) from error
            said = f"was {campaign}; is {after}"
        done.append(Outcome(campaign, after, said))
        log(str(done[-1]))
    return done


def carry_out_on(engine: sa.Engine, act: Act, campaign: UUID, accept_fewer_rows: bool) -> Standing:
    """Carries out the act on one campaign, whatever its state, in its own transaction, and returns the new standing.

    Raises:
        HeadraceError: the database refuses it.
    """
    execute(engine, [act.statement], {"campaigns": [campaign], "accept": accept_fewer_rows})
    return look(engine, [campaign])[0]


def look(engine: sa.Engine, campaigns: Sequence[UUID]) -> list[Standing]:
    """The standing of these campaigns, in the order given."""
    with snapshot(engine) as connection:
        rows = connection.exec_driver_sql(
            statement("campaign_stats", "standing"), {"campaigns": list(campaigns)}
        )
        return [Standing(*row) for row in rows]


def _rows_gone(campaign: Standing, act: Act) -> str:
    if act.name != "amend":
        return ""
    return f" ({fewer_rows(campaign.rows_then or {}, campaign.rows_now or {})})"


def _lost(engine: sa.Engine, campaigns: Sequence[UUID]) -> dict[UUID, str]:
    """Frozen campaigns whose source has fewer rows now, with the tables and both numbers."""
    with snapshot(engine) as connection:
        rows = connection.exec_driver_sql(
            statement("campaign_stats", "rows_lost"), {"campaigns": list(campaigns)}
        )
        return {campaign: fewer_rows(then, now) for campaign, then, now in rows}
