"""Command `headrace`. Imports what a command needs when it runs, so that the worker never loads Dagster."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

import click

from orchestration.errors import HeadraceError
from orchestration.terminal import query, show_table, target

# Commands that live with what they are about, and are loaded when they are called.
_ELSEWHERE = {
    "up": ("orchestration.demo.up", "up"),
    "env": ("orchestration.demo.up", "env"),
    "rebuild": ("orchestration.campaign_stats.commands", "rebuild"),
    "stats": ("orchestration.campaign_stats.commands", "stats"),
    "demo": ("orchestration.demo.commands", "demo"),
    "uninstall": ("orchestration.uninstall", "command"),
    "campaigns": ("orchestration.campaign_stats.lifecycle_commands", "campaigns"),
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
            click.echo(f"headrace: {error}", err=True)
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
        rows.append((variable, "unset" if value is None else value, field.description or ""))
    show_table("Settings", ("variable", "value", "meaning"), rows)


@main.command()
@click.option("--check", is_flag=True, help="Only say what would change; exit 1 if something would.")
def migrate(check: bool) -> None:
    """Installs or upgrades schema headrace and its triggers. Safe to run again, and under traffic."""
    from orchestration.migrate import check_migration
    from orchestration.migrate import migrate as run
    from orchestration.pooler import note

    url, found = target()
    if check:
        changes = check_migration(url, found)
        for change in changes:
            click.echo(change)
        if changes:
            click.echo("run: headrace migrate")
            sys.exit(1)
        click.echo("up to date")
        return
    if said := note(url, "migrate"):
        click.echo(said, err=True)
    done = run(url, found)
    if not done.domains:
        click.echo(
            f"no domain is active: schema {found.source_schema} has none of the tables in dbt_like_sql/sources.yml. "
            "Create the application's tables (headrace demo schema makes the example's), then run migrate again."
        )
    click.echo(
        f"migrated; active: {', '.join(done.domains) or 'none'}"
        + (f"; {done.rebuilds} campaigns queued for rebuild" if done.rebuilds else "")
    )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Plain JSON.")
def doctor(as_json: bool) -> None:
    """Checks the database: what is wrong and what to do. Exit 1 if something is."""
    from dataclasses import asdict

    from orchestration.doctor import diagnose

    url, found = target()
    diagnosis = diagnose(url, found)
    if as_json:
        click.echo(json.dumps(asdict(diagnosis), indent=2))
    else:
        click.echo(f"PostgreSQL {diagnosis.server}; active: {', '.join(diagnosis.domains) or 'none'}")
        for label, problems in (("wrong", diagnosis.errors), ("note", diagnosis.notes)):
            for problem in problems:
                click.echo(f"{label}: {problem.what}\n       {problem.remedy}")
        if not diagnosis.errors:
            click.echo("nothing is wrong")
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
    from orchestration.engine.housekeeping import housekeep_once
    from orchestration.engine.stream import drain
    from orchestration.engine.worker import Worker

    if timeout is not None and not until_idle:
        raise HeadraceError("--timeout goes with --until-idle", exit_code=2)
    _configure_logs()
    url, found = target()
    names = _split(streams)
    if until_idle:
        if names is not None:
            _require_streams(names)
        asyncio.run(housekeep_once(url, found.change_retention, found.stream_lost_after))
        done = asyncio.run(drain(url, names, timeout_seconds=timeout))
        click.echo(
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

    renderer: Any = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


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
        rows = query(
            "SELECT l.stream, l.shard, l.state, l.rows_behind, round(l.seconds_behind::numeric, 1), r.waiting,"
            " l.oldest_writer_pid, l.changes_applied"
            " FROM headrace.stream_lag l LEFT JOIN headrace.stream_rebuilds() r ON r.stream = l.stream ORDER BY 1, 2"
        )
        show_table("Streams", columns, rows)


@streams.command()
@click.argument("stream")
@click.option("--shards", type=click.IntRange(1, 1024), help="How many shards it has from now on.")
def rebase(stream: str, shards: int | None) -> None:
    """Starts STREAM anew at this moment (after a restore or clone) and queues what it derives for rebuild."""
    query("SELECT headrace.rebase_stream(%s, %s)", [stream, shards])
    click.echo(
        f"stream {stream} starts anew; what it derives is queued for rebuild: headrace worker --until-idle"
    )


@main.group("dead-letters")
def dead_letters() -> None:
    """Changes that could not be applied: see them, try them again, give them up."""


@dead_letters.command("list")
@click.option("--json", "as_json", is_flag=True, help="Plain JSON, with the changes.")
def list_letters(as_json: bool) -> None:
    """Lists dead letters, oldest first."""
    columns = ("id", "stream", "status", "source", "op", "entity", "attempts", "next try", "error")
    rows = query(
        "SELECT id, stream, status, (change).source, (change).op::text, entity_id, attempts, next_try_at, error_code || ' ' || error"
        " FROM headrace.dead_letter ORDER BY stream, pos"
    )
    if as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2, default=str))
    elif rows:
        show_table("Dead letters", columns, rows)
    else:
        click.echo("no dead letters")


def _ids(ids: tuple[int, ...], everything: bool) -> list[int] | None:
    if bool(ids) == everything:
        raise HeadraceError("name dead letters by id, or say --all", exit_code=2)
    return None if everything else list(ids)


@dead_letters.command()
@click.argument("ids", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All there are; also without any id.")
def retry(ids: tuple[int, ...], everything: bool) -> None:
    """Tries dead letters again, all or those with these IDS; what applies is removed. Exit 1 if some still fail."""
    if ids and everything:
        raise HeadraceError("name dead letters by id, or say --all", exit_code=2)
    applied, failed = query(
        "SELECT applied, failed FROM headrace.dead_letter_retry(%s)", [list(ids) or None]
    )[0]
    click.echo(f"{applied} applied, {failed} failed again")
    if failed:
        sys.exit(1)


@dead_letters.command()
@click.argument("ids", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All there are.")
def discard(ids: tuple[int, ...], everything: bool) -> None:
    """Gives dead letters up: their changes are never applied."""
    wanted = _ids(ids, everything)
    if wanted is None:
        wanted = [row[0] for row in query("SELECT id FROM headrace.dead_letter")]
    click.echo(f"{query('SELECT headrace.dead_letter_discard(%s)', [wanted])[0][0]} discarded")


if __name__ == "__main__":
    main()
