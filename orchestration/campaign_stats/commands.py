"""`headrace stats` and `headrace rebuild`: campaigns on the terminal.

Here: what is asked for, and what is said. Not here: the counting (SQL), and the picture (funnel.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from orchestration.campaign_stats.counters import (
    ASIDE,
    SHARE_OF,
    STEPS,
    Counters,
    bar_text,
    count_text,
    percent_text,
)
from orchestration.campaign_stats.lifecycle_commands import campaigns
from orchestration.campaign_stats.tables import COUNTERS
from orchestration.campaign_stats.webhook_commands import webhooks
from orchestration.dagster_kit.findings import age
from orchestration.errors import HeadraceError
from orchestration.local.target import query
from orchestration.terminal import console, say, show_table
from orchestration.text import clean_lines, name_text

if TYPE_CHECKING:
    from rich.console import Console

_NEWEST = 20
_LONGEST_BAR, _SHORTEST_BAR = 60, 8
_SHORTEST_NAME = 24
_GAP = 2
_RATES = ("delivered", "read", "replied")
_COLORS = {**dict.fromkeys(STEPS, "cyan"), "replied": "green", "failed": "red"}

Parts = list[tuple[str | None, Counters]]


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
    document = query("SELECT headrace.campaign_stats(%s)", [_campaign_id(campaign)])[0][0]
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
        ids = [_campaign_id(campaign) for campaign in campaigns]
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


def _campaign_id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise HeadraceError(f"{value} is not a campaign id (a uuid)", exit_code=2) from None


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
    _show_bars(counters, screen)
    if parts:
        say("")
        _show_parts(parts, screen)


def _standing(document: Mapping[str, Any]) -> str:
    """Where in its life the campaign is, and how old its numbers are."""
    if document["source"] == "live":
        return "not stored yet: counted just now"
    frozen = document["frozen_at"]
    since = f" {datetime.fromisoformat(frozen).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if frozen else ""
    changed = age(document["age_seconds"])
    return f"{document['state']}{since}, version {document['version']}; numbers last changed {changed} ago"


def _numbers(document: Mapping[str, Any]) -> tuple[Counters, Parts]:
    """The totals, and the templates with the most messages first."""
    parts = [(part["template_name"], _counters(part)) for part in document["template_stats"]]
    parts.sort(key=lambda part: (-part[1].total, part[0] is not None, part[0]))
    return _counters(document["totals"]), parts


def _counters(numbers: Mapping[str, Any]) -> Counters:
    return Counters(**{counter: numbers[counter] for counter in COUNTERS})


def _show_bars(counters: Counters, screen: Console) -> None:
    """A line a counter, with its share and a bar as far as the screen is wide enough."""
    from rich.table import Table
    from rich.text import Text

    names = (*STEPS, *ASIDE)
    counts = [count_text(counters.of(counter)) for counter in names]
    shares = [_share(counters, counter) for counter in names]
    lines = list(zip(names, counts, shares, strict=True))
    if screen.width < _width(lines) + _SHORTEST_BAR:
        lines = [(*line[:2], line[2].partition(" of ")[0]) for line in lines]
    letters = min(screen.width - _width(lines), _LONGEST_BAR)
    scale = max(counters.of(counter) for counter in names)
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    if letters >= 0:
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
    for line in lines:
        bar = Text(style=_COLORS[line[0]])
        if letters >= _SHORTEST_BAR:
            value = counters.of(line[0])
            bar.append(bar_text(value, scale, letters, blocks=screen.encoding.startswith("utf")))
        grid.add_row(*(*line, bar)[: len(grid.columns)])
    screen.print(grid)


def _share(counters: Counters, counter: str) -> str:
    percent = counters.percent(counter)
    return "" if percent is None else f"{percent_text(percent)} of {SHARE_OF[counter]}"


def _show_parts(parts: Parts, screen: Console) -> None:
    """A table of the templates, with rates where the screen has room for them; a paragraph each where it is narrow."""
    from rich.table import Table

    counts = (*STEPS, *ASIDE)
    heads = ("template", *counts, *(f"{rate} %" for rate in _RATES))
    lines = [
        (
            name_text(part),
            *(count_text(counters.of(counter)) for counter in counts),
            *("" if counters.percent(rate) is None else f"{counters.percent(rate):.1f}" for rate in _RATES),
        )
        for part, counters in parts
    ]
    for columns in (len(heads), 1 + len(counts)):
        shown = [line[:columns] for line in (heads, *lines)]
        if _width(shown, _SHORTEST_NAME) <= screen.width:
            table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
            table.add_column(shown[0][0], overflow="fold")
            for head in shown[0][1:]:
                table.add_column(head, justify="right", no_wrap=True)
            for line in shown[1:]:
                table.add_row(*line)
            screen.print(table)
            return
    for line in lines:
        screen.print(line[0])
        screen.print(", ".join(f"{head} {count}" for head, count in zip(counts, line[1:], strict=False)))


def _width(lines: Sequence[Sequence[str]], longest_first: int | None = None) -> int:
    """Letters that a table of these lines takes, with its gaps; the first column may be cut to so many."""
    from rich.text import Text

    widths = [max(Text(line[column]).cell_len for line in lines) for column in range(len(lines[0]))]
    if longest_first is not None:
        widths[0] = min(widths[0], longest_first)
    return sum(widths) + _GAP * len(widths)


# --- its picture ----------------------------------------------------------------------------------------------------


def _check_picture(campaign: str | None, as_json: bool, file: str) -> None:
    """What is wrong with the request, before anything is read."""
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
    # A second to import: not for those who want no picture.
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
    """The whole file or nothing of it; what was there stays until then."""
    if file.exists() and not file.is_file():
        file.write_bytes(content)  # a pipe or a device
        return
    file = file.resolve()  # where a symbolic link leads to
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


COMMANDS = (rebuild, stats, campaigns, webhooks)
