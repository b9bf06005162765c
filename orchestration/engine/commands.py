"""Commands about streams: the worker that drains them, how far behind they are, what could not be applied."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any

import click

from orchestration.database.statements import statement
from orchestration.errors import HeadraceError
from orchestration.local.target import query, target
from orchestration.terminal import say, show_table
from orchestration.text import clean_lines


def _split(value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


@click.command()
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
    """Error texts quote rows. Other values are shown by repr, which escapes."""
    return {key: clean_lines(value) if isinstance(value, str) else value for key, value in event.items()}


_STREAMS = statement("engine", "streams")


@click.group(invoke_without_command=True)
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


@click.group("dead-letters")
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


COMMANDS = (worker, streams, dead_letters)
