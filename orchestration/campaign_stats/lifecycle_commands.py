"""`headrace campaigns`: where campaigns are in their life cycle, and what an operator decides about it.

Here: arguments, options and output. Not here: the state machine (SQL, docs/lifecycle.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from orchestration.database.statements import statement
from orchestration.errors import HeadraceError
from orchestration.local.target import query, target
from orchestration.terminal import say, show_table

if TYPE_CHECKING:
    from orchestration.campaign_stats.lifecycle import Standing

STATES = ("pending", "live", "settling", "frozen", "amended", "deleted")
_MOST_CHANGES = 5

_LIST_COLUMNS = (
    *("campaign", "name", "status", "state", "version"),
    *("completed_at", "settles_until", "frozen_at", "amendment_waits"),
)
_PENDING_COLUMNS = ("campaign", "reason", "missing_source_rows", "times", "first_at", "last_at")
_AMENDMENT_COLUMNS = ("version", "frozen_at", "amended_at", "why", "changed")


@click.group()
def campaigns() -> None:
    """Where campaigns are in their life: see it, freeze, reopen, decide amendments that wait."""


@campaigns.command("list")
@click.option(
    "--state", metavar="STATE", type=click.Choice(STATES), help=f"Only those that are {', '.join(STATES)}."
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Plain JSON.")
def list_campaigns(state: str | None, limit: int, as_json: bool) -> None:
    """Lists campaigns, newest first: state, version, until when they settle, since when they are frozen."""
    rows = query(statement("campaign_stats", "campaigns_listed"), {"state": state, "most": limit})
    if as_json:
        _as_json(_LIST_COLUMNS, rows)
    elif rows:
        lines = [(*row[:5], *map(_moment, row[5:8]), "amendment" if row[8] else None) for row in rows]
        show_table(
            f"The newest {len(rows)} campaigns",
            (*_heads(_LIST_COLUMNS[:-1]), "waits"),
            lines,
            cut=("name", "status"),
            drop=("completed at", "frozen at", "settles until", "version"),
        )
    else:
        say("there are no campaigns" + (f" in state {state}" if state else ""))


@campaigns.command()
@click.argument("campaign", required=False)
@click.option("--json", "as_json", is_flag=True, help="Plain JSON.")
def amendments(campaign: str | None, as_json: bool) -> None:
    """Shows how CAMPAIGN (its id) was amended, and what waits for a decision. Without: all that waits."""
    identity = None if campaign is None else campaign_id(campaign)
    if identity is not None:
        _require_known(_standing([identity]))
    asked = {"campaign": identity}
    waiting = query(statement("campaign_stats", "amendments_pending"), asked)
    made = [] if identity is None else query(statement("campaign_stats", "amendments_made"), asked)
    if as_json:
        found = {"pending": _records(_PENDING_COLUMNS, waiting)}
        if identity is not None:
            found["amendments"] = _records(_AMENDMENT_COLUMNS, made)
        click.echo(json.dumps(found, indent=2))
        return
    if made:
        lines = [
            (version, _moment(frozen), _moment(amended), _reason(why), _changes(changed))
            for version, frozen, amended, why, changed in made
        ]
        show_table(
            "Earlier versions",
            ("version", "frozen at", "amended at", "why", "changed"),
            lines,
            cut=("why", "changed"),
            drop=("frozen at",),
        )
    if made and waiting:
        say("")
    if waiting:
        lost = [
            (
                name,
                reason,
                ", ".join(f"{table} {rows}" for table, rows in missing.items()),
                times,
                _moment(first),
                _moment(last),
            )
            for name, reason, missing, times, first, last in waiting
        ]
        show_table(
            "Amendments that wait",
            ("campaign", "reason", "rows the source has lost", "times", "first", "last"),
            lost,
            cut=("reason", "rows the source has lost"),
            drop=("first", "times", "last"),
        )
        say(
            "Recount from the rows that are left: headrace campaigns amend ID --accept. Let the frozen numbers stand: --discard",
            err=True,
        )
    if not made and not waiting:
        say(
            "no amendment waits"
            if identity is None
            else f"campaign {identity} has not been amended, and nothing waits"
        )


@campaigns.command()
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
def freeze(ids: tuple[str, ...]) -> None:
    """Freezes campaigns now, whatever their status: counts them once more; from then on changes are amendments."""
    _carry_out("freeze", _existing(ids))


@campaigns.command()
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@click.option(
    "--accept-fewer-rows", is_flag=True, help="Also where the source has lost rows that were counted."
)
def reopen(ids: tuple[str, ...], accept_fewer_rows: bool) -> None:
    """Makes frozen campaigns live again; a completed one settles once more. The frozen version stays on record."""
    _carry_out("reopen", _existing(ids), accept_fewer_rows)


@campaigns.command()
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@click.option("--accept", is_flag=True, help="Recount from the rows that are left.")
@click.option("--discard", is_flag=True, help="Let the frozen numbers stand.")
def amend(ids: tuple[str, ...], accept: bool, discard: bool) -> None:
    """Decides amendments that wait because the source has lost rows that the frozen numbers were counted from."""
    if accept == discard:
        raise HeadraceError(
            "say --accept to recount from the rows that are left, or --discard to let the frozen numbers stand",
            exit_code=2,
        )
    existing = _existing(ids)
    if idle := [str(campaign.id) for campaign in existing if not campaign.waits]:
        raise HeadraceError(
            f"no amendment waits for campaign {', '.join(idle)}; headrace campaigns amendments lists those that do"
        )
    _carry_out("amend", existing, accept, "recounted: " if accept else "unchanged: ")


def _carry_out(name: str, campaigns: Sequence[Standing], accept: bool = False, done: str = "") -> None:
    """Carries out the act on one campaign after the other, and prints how each stands then."""
    from orchestration.campaign_stats.lifecycle import ACTS, carry_out_on
    from orchestration.database.connections import engine

    act, database = ACTS[name], engine(target()[0])
    for campaign in campaigns:
        after = carry_out_on(database, act, campaign.id, accept)
        say(f"campaign {campaign.id} {done if act.applies(campaign) else f'was {act.are_already}: '}{after}")


def _existing(ids: Sequence[str]) -> list[Standing]:
    """The campaigns with these ids, each once. Raises HeadraceError unless the application has all of them."""
    campaigns = _standing(list(dict.fromkeys(campaign_id(value) for value in ids)))
    _require_known(campaigns)
    for campaign in campaigns:
        if not campaign.exists:
            raise HeadraceError(
                f"the application has deleted campaign {campaign.id}: its frozen statistics stay as they are"
            )
    return campaigns


def _standing(identities: Sequence[UUID]) -> list[Standing]:
    from orchestration.campaign_stats.lifecycle import look
    from orchestration.database.connections import engine

    return look(engine(target()[0]), identities)


def _require_known(campaigns: Iterable[Standing]) -> None:
    if gone := [one.id for one in campaigns if not one.exists and not one.frozen]:
        raise HeadraceError(f"there is no campaign {gone[0]}; headrace campaigns list shows those there are")


def campaign_id(value: str) -> UUID:
    """Reads a campaign's id as typed. Raises HeadraceError if it is not one."""
    try:
        return UUID(value)
    except ValueError:
        raise HeadraceError(f"{value} is not a campaign id (a uuid)", exit_code=2) from None


def _records(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[dict[str, object]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _as_json(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    click.echo(json.dumps(_records(columns, rows), indent=2))


def _heads(columns: Sequence[str]) -> list[str]:
    return [column.replace("_", " ") for column in columns]


def _moment(value: str | None) -> str | None:
    """To the minute, in UTC. What Python does not read as a time stays as it is."""
    try:
        return None if value is None else f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return value


def _reason(why: Mapping[str, Any]) -> str:
    messages = why.get("messages") or ()
    return str(why["reason"]) + (f" ({len(messages)} messages)" if messages else "")


def _changes(changed: Sequence[Mapping[str, Any]]) -> str:
    """The first totals that changed; if only the series changed, its hours."""
    items = [item for item in changed if item.get("template_name", "*") == "*"]
    told = [
        f"{item['counter']} {item['from']} to {item['to']}"
        + (f" in the hour {_moment(item['hour'])}" if "hour" in item else "")
        for item in items[:_MOST_CHANGES]
    ]
    return ", ".join(told) + (", …" if len(items) > _MOST_CHANGES else "") or "nothing"
