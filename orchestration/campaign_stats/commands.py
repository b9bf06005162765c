"""`headrace stats`, `headrace rebuild` and `headrace webhooks rejects`: campaign statistics and refused parts of webhooks.

Here: arguments, options and output. Not here: counting and ingesting (SQL), how counters look (counters.py, funnel.py), and
`headrace campaigns` (lifecycle_commands.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration.campaign_stats.counters import COUNTERS, Counters, Parts, show_bars, show_parts
from orchestration.campaign_stats.lifecycle_commands import campaign_id, campaigns
from orchestration.database.statements import statement
from orchestration.errors import HeadraceError
from orchestration.local.target import query
from orchestration.terminal import console, say, show_table
from orchestration.text import age, clean_lines, name_text

if TYPE_CHECKING:
    from rich.console import Console

_NEWEST = 20
# Rejects to retry in one transaction: it holds the locks of all these items, and incoming webhooks wait for them.
_AT_ONCE = 100
_REJECT_COLUMNS = ("id", "reason", "path", "times", "last_at", "first_at", "number", "notice")
_IDS = "SELECT id FROM headrace.webhook_reject WHERE notice = %s ORDER BY id"
_ID = click.IntRange(1, 2**63 - 1)
_MOST_NAMED = 5


@click.command()
@click.argument("campaign", required=False)
@click.option("--json", "as_json", is_flag=True, help="The document as headrace.campaign_stats() gives it.")
@click.option(
    "--png", "picture", metavar="FILE", help="Writes the funnel as a picture to FILE, - for standard output."
)
def stats(campaign: str | None, as_json: bool, picture: str | None) -> None:
    """Shows the statistics of CAMPAIGN (its id): where they come from and how old they are. Without: the newest."""
    if picture is not None:
        _check_picture(campaign, as_json, picture)
    if campaign is None:
        _newest_campaigns(as_json)
        return
    document = query("SELECT headrace.campaign_stats(%s)", [campaign_id(campaign)])[0][0]
    if document is None:
        raise HeadraceError(f"there is no campaign {campaign}")
    if picture is not None:
        _draw(document, picture)
    elif as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _show(document, console())


@click.command()
@click.argument("campaigns", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every campaign there is.")
def rebuild(campaigns: tuple[str, ...], everything: bool) -> None:
    """Recomputes CAMPAIGNS (ids) from their source rows; safe under traffic."""
    if bool(campaigns) == everything:
        raise HeadraceError("name campaigns by id, or say --all", exit_code=2)
    if not everything:
        ids = [campaign_id(campaign) for campaign in campaigns]
        unknown = query(
            "SELECT id FROM unnest(%s::uuid[]) id WHERE headrace.campaign_stats(id) IS NULL"
            " AND NOT EXISTS (SELECT FROM headrace.campaign c WHERE c.campaign_id = id)",
            [ids],
        )
        if unknown:
            raise HeadraceError(f"there is no campaign {', '.join(str(row[0]) for row in unknown)}")
        changed = query("SELECT headrace.rebuild_campaign_stats(%s)", [ids])[0][0]
        say(f"{len(ids)} campaigns rebuilt; {changed} messages or counters changed")
        return
    queued = query("SELECT headrace.request_rebuild()")[0][0]
    rebuilt = 0
    while (done := query("SELECT headrace.rebuild_step()")[0][0]) > 0:
        rebuilt += done
        say(f"{rebuilt} of {queued} campaigns rebuilt")
    if not queued:
        say("there are no campaigns")


def _newest_campaigns(as_json: bool) -> None:
    columns = ("campaign", "name", "status", "total", "delivered", "replied")
    page = query("SELECT headrace.list_campaign_stats(p_limit => %s)", [_NEWEST])[0][0]
    rows = []
    for document in page["campaigns"]:
        totals = document["totals"] or {}
        named = (document[key] for key in ("campaign_id", "name", "status"))
        rows.append((*named, *(totals.get(counter) for counter in columns[3:])))
    if as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
    elif rows:
        show_table(
            f"The newest {len(rows)} campaigns",
            columns,
            rows,
            cut=("name", "status"),
            drop=("replied", "delivered"),
        )
    else:
        say("there are no campaigns")
    if "paused" in page:
        say(f"as stored: {page['paused']}", err=True)


# --- one campaign ---------------------------------------------------------------------------------------------------


def _show(document: Mapping[str, Any], screen: Console) -> None:
    def say(text: str) -> None:
        screen.print(clean_lines(text), soft_wrap=True)

    deleted = ", deleted since" if document["deleted_at"] else ""
    say(f"{name_text(document['name'])} ({document['status']}{deleted}), created {document['created_at']}")
    if "paused" in document:
        say(f"as stored: {document['paused']}")
    if document["source"] == "none":
        say(f"no statistics: its status is {document['status']}")
        return
    say(f"{_standing(document)}\n")
    counters, parts = _numbers(document)
    show_bars(counters, screen)
    if parts:
        say("")
        show_parts(parts, screen)


def _standing(document: Mapping[str, Any]) -> str:
    """The campaign's state, and how old its numbers are."""
    if document["source"] == "live":
        return "not stored yet: counted just now"
    frozen = document["frozen_at"]
    since = f" {datetime.fromisoformat(frozen).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if frozen else ""
    changed = age(document["age_seconds"])
    return f"{document['state']}{since}, version {document['version']}; numbers last changed {changed} ago"


def _numbers(document: Mapping[str, Any]) -> tuple[Counters, Parts]:
    """The totals, and the templates, those with the most messages first."""
    parts = [(part["template_name"], _counters(part)) for part in document["template_stats"]]
    parts.sort(key=lambda part: (-part[1].total, part[0] is not None, part[0]))
    return _counters(document["totals"]), parts


def _counters(numbers: Mapping[str, Any]) -> Counters:
    return Counters(**{counter: numbers[counter] for counter in COUNTERS})


# --- its picture ----------------------------------------------------------------------------------------------------


def _check_picture(campaign: str | None, as_json: bool, file: str) -> None:
    """Refuses a request that cannot be met, before anything is read."""
    if campaign is None:
        raise HeadraceError("--png draws one campaign: name it by its id", exit_code=2)
    if as_json:
        raise HeadraceError("--json and --png: take one of them", exit_code=2)
    if file == "-" and sys.stdout.isatty():
        raise HeadraceError("a terminal shows no PNG: redirect standard output, or name a file", exit_code=2)
    if Path(file).is_dir():
        raise HeadraceError(f"{file} is a folder: name a file in it", exit_code=2)


def _draw(document: Mapping[str, Any], file: str) -> None:
    if document["source"] == "none":
        raise HeadraceError(
            f"campaign {document['campaign_id']} has no statistics to draw: its status is {document['status']}"
        )
    # The import takes a second: only for those who want a picture.
    from orchestration.campaign_stats.funnel import draw

    counters, parts = _numbers(document)
    computed = datetime.fromisoformat(document["computed_at"]).astimezone(UTC)
    picture = draw(
        name_text(document["name"]),
        f"{document['status']}, {document['source']} {computed:%Y-%m-%d %H:%M:%S} UTC",
        counters,
        parts,
    )
    if file == "-":
        click.echo(picture, nl=False)
        return
    try:
        _write(Path(file), picture)
    except OSError as error:
        raise HeadraceError(f"{file} cannot be written: {error.strerror}", exit_code=2) from None
    say(f"the picture is in {file}")


def _write(file: Path, content: bytes) -> None:
    """Writes the whole file or nothing. An existing file stays as it is until then."""
    if file.exists() and not file.is_file():
        file.write_bytes(content)  # a pipe or a device
        return
    file = file.resolve()  # follows a symbolic link
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


# --- webhooks -------------------------------------------------------------------------------------------------------


@click.group()
def webhooks() -> None:
    """What ingest_whatsapp_webhook made of webhooks."""


@webhooks.group()
def rejects() -> None:
    """Parts of webhooks that were not taken in: see them, take them in again, give them up."""


@rejects.command("list")
@click.option("--notices", is_flag=True, help="Also the provider's notices, which nobody needs to look at.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Plain JSON.")
def list_rejects(notices: bool, limit: int, as_json: bool) -> None:
    """Lists them, the newest first: why they were not taken in, where in the body they stood, how often they came."""
    rows = query(statement("campaign_stats", "webhook_rejects_listed"), {"notices": notices, "most": limit})
    if as_json:
        click.echo(json.dumps([dict(zip(_REJECT_COLUMNS, row, strict=True)) for row in rows], indent=2))
    elif rows:
        show_table(
            "Parts of webhooks that were not taken in",
            _REJECT_COLUMNS,
            rows,
            cut=("reason", "path"),
            drop=("number", "notice", "first_at", "path", "times"),
        )
    else:
        say("every part of every webhook was taken in" + ("" if notices else ", but for notices"))


@rejects.command()
@click.argument("ids", nargs=-1, type=_ID)
@click.option("--all", "everything", is_flag=True, help="All but notices; also without any id.")
@click.option(
    "--any-type", is_flag=True, help="Take in messages of types that are not known to be a contact's as well."
)
def retry(ids: tuple[int, ...], everything: bool, any_type: bool) -> None:
    """Takes parts of webhooks in again, all or those with these IDS. Exit 1 if some are refused again."""
    if ids and everything:
        raise HeadraceError("name rejects by id, or say --all", exit_code=2)
    _require(ids)
    wanted = sorted(set(ids)) if ids else [row[0] for row in query(_IDS, [False])]
    taken = [0, 0, 0]
    left: list[str] = []
    for first in range(0, len(wanted), _AT_ONCE):
        asked = {"rejects": wanted[first : first + _AT_ONCE], "any_type": any_type}
        stored, repeated, suppressed, refused = query(
            statement("campaign_stats", "webhook_rejects_retried"), asked
        )[0]
        taken = [taken[0] + stored, taken[1] + repeated, taken[2] + suppressed]
        left += refused
    say(
        f"{taken[0]} stored, {taken[1]} there already, {taken[2]} suppressed by a trigger, {len(left)} refused again"
    )
    if left:
        for reason in left[:_MOST_NAMED]:
            say(f"  {reason}", err=True)
        if len(left) > _MOST_NAMED:
            say("  …; headrace webhooks rejects list shows all", err=True)
        sys.exit(1)


@rejects.command()
@click.argument("ids", nargs=-1, type=_ID)
@click.option("--all", "everything", is_flag=True, help="All there are, notices too.")
@click.option("--notices", is_flag=True, help="The provider's notices.")
def discard(ids: tuple[int, ...], everything: bool, notices: bool) -> None:
    """Gives parts of webhooks up: they are never taken in. For the owner of schema headrace."""
    if bool(ids) + everything + notices != 1:
        raise HeadraceError("name rejects by id, or say --all or --notices", exit_code=2)
    _require(ids)
    wanted = list(ids)
    if not ids:
        wanted = [row[0] for kind in ([True] if notices else [True, False]) for row in query(_IDS, [kind])]
    say(f"{query('SELECT headrace.discard_webhook_rejects(%s)', [wanted])[0][0]} discarded")


def _require(ids: Sequence[int]) -> None:
    there = {
        row[0] for row in query("SELECT id FROM headrace.webhook_reject WHERE id = ANY (%s)", [list(ids)])
    }
    if missing := [str(reject) for reject in ids if reject not in there]:
        raise HeadraceError(
            f"there is no webhook reject {', '.join(missing)}; headrace webhooks rejects list shows those there are"
        )


COMMANDS = (rebuild, stats, campaigns, webhooks)
