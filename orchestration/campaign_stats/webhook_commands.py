"""`headrace webhooks rejects`: parts of webhooks that were not taken in; take them in again, or give them up.

Here: what is asked for, and what is said. Not here: what is taken in, and why not (SQL, docs/sql-api.md).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from orchestration.errors import HeadraceError
from orchestration.local.target import query
from orchestration.terminal import say, show_table

# What is taken in again in one transaction: it holds the locks of all these items, and webhooks wait for them.
_AT_ONCE = 100
_COLUMNS = ("id", "reason", "path", "times", "last_at", "first_at", "number", "notice")
_LIST = """
    SELECT id, reason, path, times, to_jsonb(last_at) #>> '{}', to_jsonb(first_at) #>> '{}', whatsapp_number_id, notice
    FROM headrace.webhook_reject WHERE %s OR NOT notice ORDER BY id DESC LIMIT %s
"""
_IDS = "SELECT id FROM headrace.webhook_reject WHERE notice = %s ORDER BY id"
_RETRY = """
    SELECT coalesce(sum(stored), 0)::bigint, coalesce(sum(repeated), 0)::bigint, coalesce(sum(suppressed), 0)::bigint,
        coalesce(array_agg(id || ': ' || reason ORDER BY id) FILTER (WHERE reason IS NOT NULL), '{}')
    FROM headrace.retry_webhook_rejects(%s, %s)
"""
_ID = click.IntRange(1, 2**63 - 1)
_MOST_NAMED = 5


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
    rows = query(_LIST, [notices, limit])
    if as_json:
        click.echo(json.dumps([dict(zip(_COLUMNS, row, strict=True)) for row in rows], indent=2))
    elif rows:
        show_table(
            "Parts of webhooks that were not taken in",
            _COLUMNS,
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
        stored, repeated, suppressed, refused = query(_RETRY, [wanted[first : first + _AT_ONCE], any_type])[0]
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
