"""Checks a database: the contract, rights, triggers, streams, writers. Says what is wrong and what to do, in sentences."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import psycopg
import sqlalchemy as sa

from orchestration.database.connections import engine
from orchestration.database.sentences import cannot_connect, said
from orchestration.database.sessions import SILENT_IN_TRANSACTION_SECONDS
from orchestration.database.statements import statement
from orchestration.engine import capture
from orchestration.engine.backlog import MOST_COUNTED, count_workers
from orchestration.engine.old_writers import old_writers
from orchestration.errors import HeadraceError, Problem
from orchestration.install import migrate, pooler, rights
from orchestration.install.change import check_encoding, check_server, schema_problem
from orchestration.install.contract import (
    Domain,
    active_domains,
    advise,
    captured_sources,
    check_contract,
    read_catalog,
    read_contract,
)
from orchestration.settings import Settings

OLD_WRITER_SECONDS = 300
LAG_SECONDS = 60
SILENT_SECONDS = 3
MOST_ALIKE = 3


@dataclass(frozen=True)
class Diagnosis:
    """errors: must be fixed, exit code 1. notes: worth knowing."""

    domains: tuple[str, ...]
    server: str
    errors: tuple[Problem, ...]
    notes: tuple[Problem, ...]


def diagnose(database_url: str, settings: Settings) -> Diagnosis:
    """Reads the database; changes and locks nothing.

    Raises:
        HeadraceError: the database is out of reach or too old.
    """
    database = engine(database_url)
    try:
        with database.connect() as connection:
            found = _diagnose(connection, settings)
        # After our own connection is closed: a session pool may have only one.
        return replace(found, notes=(*found.notes, *_pooler(database_url)))
    except sa.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.OperationalError):
            raise cannot_connect(error) from error
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise HeadraceError(
                f"doctor: the role lacks a right ({said(error, detail=True)}); run it as the role that migrates"
            ) from error
        raise HeadraceError(f"doctor: {said(error, detail=True)}") from error
    finally:
        database.dispose()


def _diagnose(connection: sa.Connection, settings: Settings) -> Diagnosis:
    check_server(connection)
    check_encoding(connection)
    server = str(connection.exec_driver_sql("SHOW server_version").scalar_one())
    errors: list[Problem] = []
    notes: list[Problem] = []
    installed = connection.exec_driver_sql("SELECT to_regclass('headrace.installation')").scalar() is not None
    errors += _read_only(connection)
    catalog = read_catalog(connection, settings.source_schema)
    misnamed = schema_problem(connection, settings.source_schema, catalog)
    recorded = (
        connection.exec_driver_sql("SELECT value FROM headrace.installation WHERE name = 'domains'").scalar()
        or ""
        if installed
        else ""
    )
    domains = active_domains(read_contract(), catalog, settings.domains, recorded.split(","))
    faults: list[capture.Fault] = []
    if installed and capture.can_look(connection):
        there = [domain for domain in domains if domain.name in recorded.split(",")]
        faults = capture.read_faults(connection, captured_sources(there))
    broken = capture.problems(faults)
    if misnamed:
        errors.append(misnamed)
        domains = []
    elif not domains:
        notes.append(
            Problem(
                f"no domain is active: schema {settings.source_schema} has none of its tables",
                "create the application's tables, or set HEADRACE_SOURCE_SCHEMA; see dbt_like_sql/sources.yml",
            )
        )
    contract = check_contract(domains, catalog, settings.source_schema, capture.renames(faults))
    errors += contract + [problem for problem in broken if problem not in contract]
    if not contract:
        notes += advise(domains, catalog, settings.source_schema)
    if roles := rights.roles_problem(connection):
        errors.append(roles)
    if not installed:
        errors.append(Problem("schema headrace is not installed", "headrace migrate"))
    else:
        if not contract and not misnamed:
            errors += [Problem(what, "headrace migrate") for what in migrate.outdated(connection, settings)]
        errors += _streams(connection)
        notes += _stray_changes(connection)
        notes += _rebuilds(connection)
    for hooks in _of_domains(domains):
        errors += hooks.errors(connection)
        notes += hooks.notes(connection, settings.source_schema, not contract)
    if installed:
        notes += _workers(connection)
    if superuser := rights.superuser_note(connection, domains, settings.source_schema):
        notes.append(superuser)
    notes += old_writers(connection, OLD_WRITER_SECONDS)
    return Diagnosis(tuple(domain.name for domain in domains), server, tuple(errors), tuple(notes))


def _of_domains(domains: Iterable[Domain]) -> Iterator[ModuleType]:
    """The `doctor` modules of the domains that have one: errors(connection) and notes(connection, schema, fits)."""
    for domain in domains:
        name = f"orchestration.{domain.name}.doctor"
        if importlib.util.find_spec(name) is not None:
            yield importlib.import_module(name)


def grouped(problems: Sequence[Problem]) -> list[Problem]:
    """Merges problems with the same remedy into one entry, if there are many."""
    alike: dict[str, list[str]] = {}
    for problem in problems:
        alike.setdefault(problem.remedy, []).append(problem.what)
    found = []
    for remedy, whats in alike.items():
        if len(whats) <= MOST_ALIKE:
            found += [Problem(what, remedy) for what in whats]
            continue
        more = len(whats) - MOST_ALIKE
        found.append(
            Problem(
                f"{len(whats)} things: {'; '.join(whats[:MOST_ALIKE])}; and {more} more (--json has all)",
                remedy,
            )
        )
    return found


def _read_only(connection: sa.Connection) -> list[Problem]:
    """Why nothing can be written to the database that Headrace connects to."""
    recovering, read_only, source, database, role = connection.exec_driver_sql(
        statement("install", "read_only"), {}
    ).one()
    if recovering:
        return [
            Problem(
                "this server is a standby: it takes no writes, and no worker and no migrate run on it; what follows is as old as "
                "what it has replayed",
                "set HEADRACE_DATABASE_URL to the primary (with several hosts in it, target_session_attrs=read-write finds it)",
            )
        ]
    if not read_only:
        return []
    place = {"database": f"DATABASE {database}", "user": f"ROLE {role}"}.get(source)
    if source == "database user":
        place = f"ROLE {role} IN DATABASE {database}"
    return [
        Problem(
            "the server takes no writes in this database: default_transaction_read_only is on, and statistics stand still",
            f"ALTER {place} RESET default_transaction_read_only;"
            if place
            else "take default_transaction_read_only out of the server's configuration, or of the URL's options",
        )
    ]


def _streams(connection: sa.Connection) -> list[Problem]:
    silent = _silent_sessions(connection)
    problems = [*silent]
    rows = connection.exec_driver_sql(
        "SELECT stream, shard, state, rows_behind, seconds_behind, to_jsonb(l) -> 'more_behind' FROM headrace.stream_lag l"
    )
    for stream, shard, state, behind, seconds, more in rows:
        if state == "mismatch":
            problems.append(
                Problem(
                    f"stream {stream} stands in another cluster or in the future: this database was restored or cloned",
                    f"headrace streams rebase {stream}",
                )
            )
        elif state == "lost":
            problems.append(
                Problem(
                    f"stream {stream} was idle for too long and lost its place",
                    f"headrace streams rebase {stream}",
                )
            )
        elif seconds > LAG_SECONDS:
            problems.append(
                Problem(
                    f"stream {stream} shard {shard} is {behind}{'+' if more else ''} changes, {seconds:.0f} s behind",
                    "headrace worker" if not silent else silent[0].remedy,
                )
            )
    letters = connection.exec_driver_sql(
        "SELECT stream, count(*), min(error), count(*) = %(most)s"
        " FROM (SELECT stream, left(error, 300) AS error FROM headrace.dead_letter LIMIT %(most)s) l GROUP BY 1",
        {"most": MOST_COUNTED},
    )
    for stream, count, error, more in letters:
        problems.append(
            Problem(
                f"stream {stream} has {count}{'+' if more else ''} dead letters ({error})",
                "headrace dead-letters list",
            )
        )
    return problems


def _silent_sessions(connection: sa.Connection) -> list[Problem]:
    """Sessions that hold a stream's place and do nothing: a worker's with a cut line, or somebody's at a prompt."""
    rows = connection.exec_driver_sql(
        statement("install", "silent_holders"),
        {"silent": SILENT_SECONDS, "ours": SILENT_IN_TRANSACTION_SECONDS},
    )
    return [
        Problem(
            f"pid {pid} ({name}, from {place}) holds the place of a stream and has been silent in its transaction for {seconds} s: "
            "every worker waits for it",
            f"SELECT pg_terminate_backend({pid});"
            + (f" -- one of Headrace's ends by itself after {ends} s" if ends else ""),
        )
        for pid, name, place, seconds, ends in rows
    ]


def _stray_changes(connection: sa.Connection) -> list[Problem]:
    if connection.exec_driver_sql("SELECT to_regprocedure('headrace.stray_changes()')").scalar() is None:
        return []  # an older version is installed, which is reported already
    days = connection.exec_driver_sql(
        "SELECT day, changes, to_jsonb(s) -> 'more' FROM headrace.stray_changes() s"
    ).all()
    if not days:
        return []
    changes = f"{sum(row.changes for row in days)}{'+' if days[0][2] else ''}"
    first, last = days[0].day, days[-1].day
    return [
        Problem(
            f"the change log's DEFAULT partition holds {changes} changes ({first if first == last else f'{first} to {last}'})",
            "nothing, while a worker runs: they are applied like all others, and deleted when past their retention",
        )
    ]


def _rebuilds(connection: sa.Connection) -> list[Problem]:
    if (
        connection.exec_driver_sql(
            "SELECT to_regprocedure('headrace.stream_rebuilds(text[],boolean)')"
        ).scalar()
        is None
    ):
        return []  # an older version is installed, which is reported already
    rows = connection.exec_driver_sql(
        "SELECT stream, waiting FROM headrace.stream_rebuilds() WHERE waiting > 0"
    )
    return [
        Problem(
            f"stream {stream} has {waiting} to rebuild; until its turn each is computed when asked for",
            "headrace worker rebuilds them; headrace streams shows how many are left",
        )
        for stream, waiting in rows
    ]


def _workers(connection: sa.Connection) -> list[Problem]:
    if count_workers(connection):
        return []
    return [
        Problem("no worker is running; Dagster's sensor catches up in tens of seconds", "headrace worker")
    ]


def _pooler(database_url: str) -> list[Problem]:
    mode = pooler.mode(database_url)
    if mode is None:
        return []
    what = f"a connection pooler in {mode} mode stands between Headrace and the server"
    if mode == "session":
        return [Problem(what, "fine; every connection of a worker keeps one of the pooler's")]
    return [
        Problem(
            what,
            "fine for the worker and Dagster; migrate and uninstall are safer on the server's own address, "
            "where no time limit of the pooler ends their one transaction",
        )
    ]
