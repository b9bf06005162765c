"""Commands about Headrace's part of a database: installing it, checking it, removing it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from orchestration.errors import HeadraceError
from orchestration.local.target import target
from orchestration.terminal import say
from orchestration.text import clean

if TYPE_CHECKING:
    from orchestration.install.uninstall import Installation


@click.command()
@click.option("--check", is_flag=True, help="Only say what would change; exit 1 if something would.")
@click.option("--roles", is_flag=True, help="Only print the statement that a superuser runs once beforehand.")
def migrate(check: bool, roles: bool) -> None:
    """Installs or upgrades schema headrace and its triggers. Safe to run again, and under traffic."""
    from orchestration.install.migrate import check_migration
    from orchestration.install.migrate import migrate as run
    from orchestration.install.pooler import note
    from orchestration.install.rights import read_roles_statement

    if check and roles:
        raise HeadraceError("--check and --roles do not go together", exit_code=2)
    url, found = target()
    if roles:
        click.echo(read_roles_statement(url))
        return
    if check:
        changes = check_migration(url, found)
        for change in changes:
            say(change)
        if changes:
            say("run: headrace migrate")
            sys.exit(1)
        say("up to date")
        return
    if said := note(url, "migrate"):
        say(said, err=True)
    done = run(url, found)
    if not done.domains:
        say(
            f"no domain is active: schema {found.source_schema} has none of the tables in dbt_like_sql/sources.yml. "
            "Create the application's tables (headrace demo schema makes the example's), then run migrate again."
        )
    say(
        f"migrated; active: {', '.join(done.domains) or 'none'}"
        + "".join(f"; {count} {unit} queued for rebuild" for unit, count in done.queued.items())
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Plain JSON.")
def doctor(as_json: bool) -> None:
    """Checks the database: what is wrong and what to do. Exit 1 if something is."""
    from dataclasses import asdict
    from textwrap import indent

    from orchestration.install.doctor import diagnose, grouped

    url, found = target()
    diagnosis = diagnose(url, found)
    if as_json:
        click.echo(json.dumps(asdict(diagnosis), indent=2))
    else:
        say(f"PostgreSQL {diagnosis.server}; active: {', '.join(diagnosis.domains) or 'none'}")
        for label, problems in (("wrong", diagnosis.errors), ("note", diagnosis.notes)):
            for problem in grouped(problems):
                say(f"{label}: {problem.what}\n" + indent(problem.remedy, " " * 7))
        if not diagnosis.errors:
            say("nothing is wrong")
    if diagnosis.errors:
        sys.exit(1)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def uninstall(yes: bool) -> None:
    """Removes schema headrace and its triggers; the application's tables and rows stay as they are.

    Safe under traffic. Afterwards `headrace migrate` installs anew, and counts every campaign from its rows.
    """
    from orchestration.install.pooler import note
    from orchestration.install.uninstall import installation
    from orchestration.install.uninstall import uninstall as run

    url, settings = target()
    found = installation(url)
    if found is None:
        say("Headrace is not installed in this database: there is nothing to remove")
        return
    if not yes:
        what = f"schema headrace with all statistics, and {_triggers_of(found)}"
        if not sys.stdin.isatty():
            raise HeadraceError(f"uninstall removes {what}: say --yes where nobody can be asked", exit_code=2)
        click.confirm(clean(f"Remove {what}, from database {found.database}?"), abort=True)
    if said := note(url, "uninstall"):
        say(said, err=True)
    removed = run(url, settings)
    if removed is None:
        say("Headrace was removed by somebody else meanwhile")
        return
    say(
        f"removed from database {removed.database}: schema headrace, and {_triggers_of(removed)}; "
        "your tables and their rows are as they were"
    )
    if removed.workers:
        say(
            f"{removed.workers} workers run, and say that schema headrace is not installed until they are stopped"
        )
    if removed.roles:
        names = ", ".join(removed.roles)
        say(
            f"the roles are the cluster's and stay; once none of its databases needs them: DROP ROLE {names};"
        )


def _triggers_of(found: Installation) -> str:
    return f"{len(found.triggers)} triggers" + (f" on {', '.join(found.tables)}" if found.tables else "")


COMMANDS = (migrate, doctor, uninstall)
