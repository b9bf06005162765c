"""Command `headrace`. Imports what a command needs when it runs, so that the worker never loads Dagster."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any

import click

from orchestration.errors import HeadraceError
from orchestration.terminal import clean_lines, console, query, say, show_table, target

# Commands that live with what they are about, and are loaded when they are called.
_ELSEWHERE = {
    "up": ("orchestration.demo.up", "up"),
    "env": ("orchestration.demo.up", "env"),
    "rebuild": ("orchestration.campaign_stats.commands", "rebuild"),
    "stats": ("orchestration.campaign_stats.commands", "stats"),
    "demo": ("orchestration.demo.commands", "demo"),
    "uninstall": ("orchestration.uninstall", "command"),
    "campaigns": ("orchestration.campaign_stats.lifecycle_commands", "campaigns"),
    "webhooks": ("orchestration.campaign_stats.webhook_commands", "webhooks"),
}


class HeadraceGroup(click.Group):
    """Shows a HeadraceError as a sentence, with its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _ELSEWHERE:
            module, attribute = _ELSEWHERE[cmd_name]
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HeadraceError as error:
            say(f"headrace: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=HeadraceGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headrace")
def main() -> None:
    """Campaign statistics kept up to date from your PostgreSQL's own change stream.

    Every command acts on HEADRACE_DATABASE_URL; unset, on an embedded server under HEADRACE_HOME (./var).
    """


@main.command()
def settings() -> None:
    """Lists the settings in force; secrets are hidden."""
    from orchestration.settings import read_settings

    found = read_settings()
    rows = []
    for name, field in type(found).model_fields.items():
        variable = str(field.validation_alias) if field.validation_alias else f"HEADRACE_{name.upper()}"
        value = getattr(found, name)
        if isinstance(value, tuple):
            value = ",".join(value) or None
        rows.append((variable, "unset" if value is None else value, field.description or ""))
    screen = console()
    if not screen.is_terminal:
        show_table("Settings", ("variable", "value", "meaning"), rows)
        return
    for variable, value, meaning in rows:
        say(f"{variable} = {value}\n    {meaning}")


@main.command()
@click.option("--check", is_flag=True, help="Only say what would change; exit 1 if something would.")
@click.option("--roles", is_flag=True, help="Only print the statement that a superuser runs once beforehand.")
def migrate(check: bool, roles: bool) -> None:
    """Installs or upgrades schema headrace and its triggers. Safe to run again, and under traffic."""
    from orchestration.migrate import check_migration
    from orchestration.migrate import migrate as run
    from orchestration.pooler import note
    from orchestration.rights import read_roles_statement

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
        + (f"; {done.rebuilds} campaigns queued for rebuild" if done.rebuilds else "")
    )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Plain JSON.")
def doctor(as_json: bool) -> None:
    """Checks the database: what is wrong and what to do. Exit 1 if something is."""
    from dataclasses import asdict
    from textwrap import indent

    from orchestration.doctor import diagnose, grouped

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


def _split(value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


@main.command()
@click.option("--until-idle", is_flag=True, help="Drain what is there, then exit 0.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), help="With --until-idle: exit 3 after so many seconds."
)
@click.option("--streams", help="Only these streams, comma-separated.")
@click.option(
    "--concurrency", type=click.IntRange(1, 32), default=1, show_default=True, help="Connections that drain."
)
def worker(until_idle: bool, timeout: float | None, streams: str | None, concurrency: int) -> None:
    """The resident worker: keeps statistics up to date within milliseconds. Run as many as you like."""
    from orchestration.engine.housekeeping import catch_up
    from orchestration.engine.worker import Worker

    if timeout is not None and not until_idle:
        raise HeadraceError("--timeout goes with --until-idle", exit_code=2)
    _configure_logs()
    url, found = target()
    names = _split(streams)
    if until_idle:
        if names is not None:
            _require_streams(names)
        done = asyncio.run(catch_up(url, found.change_retention, found.stream_lost_after, names, timeout))
        say(
            f"idle: {done.changes} changes applied, {done.rebuilt} campaigns rebuilt, {done.dead_letters} dead letters"
        )
        return
    asyncio.run(
        Worker(
            url,
            streams=names,
            concurrency=concurrency,
            retention=found.change_retention,
            lost_after=found.stream_lost_after,
        ).run()
    )


def _require_streams(names: Sequence[str]) -> None:
    there = [row[0] for row in query("SELECT stream FROM headrace.stream ORDER BY stream")]
    if missing := [name for name in names if name not in there]:
        raise HeadraceError(
            f"there is no stream {', '.join(missing)}; there are: {', '.join(there) or 'none'}", exit_code=2
        )


def _configure_logs() -> None:
    import structlog

    # JSON writes control characters as escapes; a terminal would obey them.
    shown: list[Any] = (
        [_clean_log, structlog.dev.ConsoleRenderer()]
        if sys.stderr.isatty()
        else [structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *shown,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _clean_log(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What is said of errors quotes rows; other values than text are shown by repr, which escapes."""
    return {key: clean_lines(value) if isinstance(value, str) else value for key, value in event.items()}


_STREAMS = """
    SELECT
        l.stream, l.shard, l.state,
        CASE WHEN l.more_behind THEN to_char(l.rows_behind, 'FM999,999,999,999') || '+' ELSE l.rows_behind::text END,
        round(l.seconds_behind::numeric, 1), r.waiting, l.oldest_writer_pid, l.changes_applied
    FROM headrace.stream_lag l LEFT JOIN headrace.stream_rebuilds() r ON r.stream = l.stream ORDER BY 1, 2
"""


@main.group(invoke_without_command=True)
@click.pass_context
def streams(context: click.Context) -> None:
    """Lists the streams: how far behind each shard is, what waits to be rebuilt, and what holds it."""
    if context.invoked_subcommand is None:
        columns = (
            "stream",
            "shard",
            "state",
            "rows_behind",
            "seconds_behind",
            "to_rebuild",
            "oldest_writer_pid",
            "changes_applied",
        )
        rows = query(_STREAMS)
        show_table(
            "Streams",
            columns,
            rows,
            cut=("stream",),
            drop=("changes_applied", "shard", "oldest_writer_pid", "seconds_behind"),
        )


@streams.command()
@click.argument("stream")
@click.option("--shards", type=click.IntRange(1, 1024), help="How many shards it has from now on.")
def rebase(stream: str, shards: int | None) -> None:
    """Starts STREAM anew at this moment (after a restore or clone) and queues what it derives for rebuild."""
    query("SELECT headrace.rebase_stream(%s, %s)", [stream, shards])
    say(f"stream {stream} starts anew; what it derives is queued for rebuild: headrace worker --until-idle")


@main.group("dead-letters")
def dead_letters() -> None:
    """Changes that could not be applied: see them, try them again, give them up."""


@dead_letters.command("list")
@click.option("--json", "as_json", is_flag=True, help="Plain JSON, with the changes.")
def list_letters(as_json: bool) -> None:
    """Lists dead letters, oldest first."""
    columns = ("id", "stream", "status", "source", "op", "entity", "attempts", "next try", "error")
    rows = query(
        "SELECT id, stream, status, (change).source, (change).op::text, left(entity_id, 200),"
        " attempts, next_try_at, error_code || ' ' || left(error, 1000)"
        " FROM headrace.dead_letter ORDER BY stream, pos"
    )
    if as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2, default=str))
    elif rows:
        show_table(
            "Dead letters",
            columns,
            rows,
            cut=("error", "entity", "source", "stream"),
            drop=("attempts", "op", "status", "next try", "stream"),
        )
    else:
        say("no dead letters")


_ID = click.IntRange(1, 2**63 - 1)


def _require_letters(ids: Sequence[int]) -> None:
    there = {row[0] for row in query("SELECT id FROM headrace.dead_letter WHERE id = ANY (%s)", [list(ids)])}
    if missing := [str(letter) for letter in ids if letter not in there]:
        raise HeadraceError(
            f"there is no dead letter {', '.join(missing)}; headrace dead-letters list shows those there are "
            "(what could be applied meanwhile is gone from it)"
        )


@dead_letters.command()
@click.argument("ids", nargs=-1, type=_ID)
@click.option("--all", "everything", is_flag=True, help="All there are; also without any id.")
def retry(ids: tuple[int, ...], everything: bool) -> None:
    """Tries dead letters again, all or those with these IDS; what applies is removed. Exit 1 if some still fail."""
    if ids and everything:
        raise HeadraceError("name dead letters by id, or say --all", exit_code=2)
    _require_letters(ids)
    applied, failed = 0, 0
    rest: list[int] | None = list(ids) or None
    while rest is not None or not applied + failed:
        done, again, rest = query("SELECT applied, failed, rest FROM headrace.dead_letter_retry(%s)", [rest])[
            0
        ]
        applied, failed = applied + done, failed + again
        if rest is None:
            break
    untried = max(0, len(set(ids)) - applied - failed)
    say(
        f"{applied} applied, {failed} failed again"
        + (
            f", {untried} not tried: another of the same row comes first, or is being tried"
            if untried
            else ""
        )
    )
    if failed or untried:
        sys.exit(1)


@dead_letters.command()
@click.argument("ids", nargs=-1, type=_ID)
@click.option("--all", "everything", is_flag=True, help="All there are.")
def discard(ids: tuple[int, ...], everything: bool) -> None:
    """Gives dead letters up: their changes are never applied."""
    if bool(ids) == everything:
        raise HeadraceError("name dead letters by id, or say --all", exit_code=2)
    _require_letters(ids)
    wanted = [row[0] for row in query("SELECT id FROM headrace.dead_letter")] if everything else list(ids)
    say(f"{query('SELECT headrace.dead_letter_discard(%s)', [wanted])[0][0]} discarded")


if __name__ == "__main__":
    main()
