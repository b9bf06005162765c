"""Installs or upgrades schema headrace: tables by Alembic, everything replaceable from dbt_like_sql, in one transaction."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from orchestration.database.connections import engine
from orchestration.database.sql_files import SQL_ROOT, SqlObject, in_dependency_order, load_objects
from orchestration.engine import capture
from orchestration.engine.housekeeping import add_partitions_once
from orchestration.errors import HeadraceError, Problem
from orchestration.install import replaceables, rights
from orchestration.install.change import (
    Command,
    change,
    check_encoding,
    check_server,
    execute,
    explained,
    read_installation,
    schema_problem,
)
from orchestration.install.contract import (
    Domain,
    active_domains,
    captured_sources,
    check_contract,
    read_catalog,
    read_contract,
)
from orchestration.install.relations import FoundTable
from orchestration.settings import Settings

# Folders in the order they are applied; objects are sorted by what they name, these are not.
_AFTER = ("grants",)

_COMMAND = Command(
    "migrate",
    {
        "25006": "the server takes no writes, headrace doctor says why",
        "42501": "the role lacks a right: run it as the owner of the source tables with CREATE on the database "
        "(and of schema headrace, where an older version made it)",
        "2BP01": "drop what others built upon Headrace's views and functions, run migrate again, and make it anew",
    },
    harmless=("AccessShareLock", "RowShareLock"),
)
# Whether anybody may be writing to the log: then partitions wait for the commit.
_WRITTEN = """
    SELECT FROM pg_trigger g INNER JOIN pg_proc p ON p.oid = g.tgfoid
    WHERE p.pronamespace = 'headrace'::regnamespace AND NOT g.tgisinternal LIMIT 1
"""


@dataclass(frozen=True)
class Migrated:
    """What a migration did. domains: active now; rebuilds: campaigns queued for it; changed: whether anything was."""

    domains: tuple[str, ...]
    rebuilds: int
    changed: bool


def migrate(
    database_url: str,
    settings: Settings,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Migrated:
    """Installs or upgrades; safe to run again, and twice at once.

    Raises:
        HeadraceError: the database does not fit the contract, the role lacks rights, the server is too old or not
            reachable, or locks were not to be had for a minute. Nothing is half done.
    """
    done = change(
        database_url,
        settings.source_schema,
        _COMMAND,
        lambda connection: _migrate(connection, settings),
        sleep=sleep,
        clock=clock,
    )
    # Beside writers a partition is made in short transactions, none of which they wait for.
    added = asyncio.run(add_partitions_once(database_url))
    return replace(done, changed=done.changed or added > 0)


def _alembic(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SQL_ROOT.joinpath("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def fitting_domains(
    connection: sa.Connection, settings: Settings
) -> tuple[list[Domain], dict[str, FoundTable]]:
    """The domains that are to be active and the source tables as they are.

    Raises:
        HeadraceError: they do not fit the contract; every difference is named, with the statement that mends it.
    """
    check_encoding(connection)
    catalog = read_catalog(connection, settings.source_schema)
    if misnamed := schema_problem(connection, settings.source_schema, catalog):
        raise HeadraceError(f"migrate: {misnamed.what}; nothing was changed; {misnamed.remedy}")
    installed = read_installation(connection).get("domains", "").split(",")
    domains = active_domains(read_contract(), catalog, settings.domains, installed)
    known = capture.renames(_capture_faults(connection, domains))
    problems = check_contract(domains, catalog, settings.source_schema, known)
    if problems:
        lines = [f"  {p.what}\n      {p.remedy}" for p in problems]
        raise HeadraceError(
            "migrate: the database does not fit what Headrace reads; nothing was changed\n" + "\n".join(lines)
        )
    return domains, catalog


def _objects(domains: list[Domain], catalog: dict[str, FoundTable], settings: Settings) -> list[SqlObject]:
    types = {table: found.columns for table, found in catalog.items()}
    constants = {
        "reply_window_seconds": repr(settings.reply_window.total_seconds()),
        "settle_window_seconds": repr(settings.settle_window.total_seconds()),
    }
    found: list[SqlObject] = []
    for name in ["engine", *(domain.name for domain in domains)]:
        found += load_objects(name, settings.source_schema, types, constants)
    return found


def _fingerprint(objects: list[SqlObject]) -> str:
    digest = hashlib.sha256()
    for item in objects:
        digest.update(f"{item.domain}/{item.kind}/{item.name}\0{item.sql}\0".encode())
    return digest.hexdigest()


def _split(objects: list[SqlObject]) -> tuple[list[SqlObject], list[SqlObject], list[SqlObject]]:
    """Replaceable objects in dependency order, and what is run after them: streams, then capture triggers."""
    streams = [o for o in objects if o.kind == "streams" and o.domain != "engine"]
    captures = [o for o in objects if o.kind == "capture" and o.domain != "engine"]
    random.shuffle(captures)  # each locks its table: in another order at each try (installation.change)
    run = streams + captures
    replaceable = in_dependency_order([o for o in objects if o not in run and o.name not in _AFTER])
    return replaceable, streams, captures


def _migrate(connection: sa.Connection, settings: Settings) -> Migrated:
    connection.exec_driver_sql("SET LOCAL check_function_bodies = off")
    rights.ensure_roles(connection)
    domains, catalog = fitting_domains(connection, settings)
    before = read_installation(connection)
    objects = _objects(domains, catalog, settings)
    replaceable, streams, captures = _split(objects)
    special = {item.name: [o for o in objects if o.name == item.name] for item in objects}

    execute(connection, f"CREATE SCHEMA IF NOT EXISTS headrace AUTHORIZATION {rights.OWNER}")
    rights.hand_over(connection)
    given = rights.give(connection, domains, settings.source_schema)

    names = tuple(domain.name for domain in domains)
    fingerprint = _fingerprint(objects)
    definition = _fingerprint([o for o in objects if o.kind in ("staging", "definitions", "models")])
    there = before.get("domains", "").split(",")
    # Not as headrace_owner: a version may lock the application's tables.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(_alembic(connection), "head")
    faults = _capture_faults(connection, [domain for domain in domains if domain.name in there])
    broken = any(fault.missed for fault in faults)
    changed = (
        before.get("objects") != fingerprint
        or not replaceables.all_there(connection, replaceable)
        or bool(faults)
        or given
    )
    if changed:
        replaceables.apply(connection, replaceable)
    rights.hand_over(connection)
    with rights.acting_as_owner(connection):
        # What is noted of a table that cannot be read as it was is void: from here on it is read as it is.
        if any(fault.what for fault in faults):
            execute(connection, "UPDATE headrace.source SET mark = NULL")
        if not execute(connection, _WRITTEN):
            for (day,) in execute(connection, "SELECT headrace.missing_change_log_days()"):
                execute(connection, f"SELECT headrace.add_change_log_partition('{day:%Y-%m-%d}')")
                changed = True
    if changed:
        for item in special["grants"]:
            execute(connection, item.sql)
    with rights.acting_as_owner(connection):
        # Rebuilds are queued before triggers are made: those hold the source tables' writers up until we commit.
        rebuilds = _queue_rebuilds(connection, before, definition, broken) if "campaign_stats" in names else 0
        if "campaign_stats" in names:
            _settle(connection, before, settings)
        for item in streams:
            execute(connection, item.sql)
    # Triggers are made by the owner of the application's tables, and what they call is handed over.
    repaired = 0
    for item in captures:
        if not broken:
            rebuilds += int(execute(connection, f"SELECT headrace.note_altered_source('{item.name}')")[0][0])
        repaired += int(execute(connection, item.sql)[0][0])
    rights.hand_over(connection)
    with rights.acting_as_owner(connection):
        if "campaign_stats" in names:
            if repaired > sum(not fault.missed for fault in faults) and not rebuilds:
                rebuilds = int(execute(connection, "SELECT headrace.request_rebuild()")[0][0])
            rebuilds += _queue_new_campaigns(connection)  # those that came before the triggers held
        _note(connection, settings, fingerprint, definition, names)
    return Migrated(names, rebuilds, changed or repaired > 0)


def _note(
    connection: sa.Connection, settings: Settings, fingerprint: str, definition: str, names: tuple[str, ...]
) -> None:
    for name, value in {
        "objects": fingerprint,
        "definition": definition,
        "domains": ",".join(names),
        "source_schema": settings.source_schema,
        "change_retention_seconds": repr(settings.change_retention.total_seconds()),
        "stream_lost_after_seconds": repr(settings.stream_lost_after.total_seconds()),
        "settle_window_seconds": repr(settings.settle_window.total_seconds()),
    }.items():
        connection.execute(
            sa.text(
                "INSERT INTO headrace.installation AS i (name, value) VALUES (:name, :value)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE i.value <> excluded.value"
            ),
            {"name": name, "value": value},
        )


def _queue_rebuilds(connection: sa.Connection, before: dict[str, str], definition: str, broken: bool) -> int:
    """At first all campaigns; later those whose stored numbers may be wrong, which is all of them or none."""
    if "campaign_stats" not in before.get("domains", "").split(","):
        return _queue_new_campaigns(connection)
    if before.get("definition") == definition and not broken:
        return 0
    return int(execute(connection, "SELECT headrace.request_rebuild()")[0][0])


def _settle(connection: sa.Connection, before: dict[str, str], settings: Settings) -> None:
    """Another settle window holds for the campaigns that are settling. Nothing is counted again for it."""
    if before.get("settle_window_seconds", "") == repr(settings.settle_window.total_seconds()):
        return
    execute(connection, "SELECT headrace.settle_anew()")


def _settle_window(before: dict[str, str], settings: Settings) -> timedelta:
    """The settle window that is in force; an older version did not keep it."""
    seconds = before.get("settle_window_seconds")
    return timedelta(seconds=float(seconds)) if seconds else settings.settle_window


def _queue_new_campaigns(connection: sa.Connection) -> int:
    return int(execute(connection, "SELECT headrace.queue_new_campaigns()")[0][0])


def pending(connection: sa.Connection, settings: Settings) -> list[str]:
    """What `migrate` would change, in words; empty where the database is up to date. Changes and locks nothing."""
    found = outdated(connection, settings)
    there = read_installation(connection).get("domains", "").split(",")
    domains, _ = fitting_domains(connection, settings)
    return found + [p.what for p in capture_problems(connection, [d for d in domains if d.name in there])]


def outdated(connection: sa.Connection, settings: Settings) -> list[str]:
    """`pending`, but for what is wrong with capture."""
    check_server(connection)
    domains, catalog = fitting_domains(connection, settings)
    before = read_installation(connection)
    if not before:
        return ["schema headrace is not installed"]
    found = []
    head = ScriptDirectory.from_config(_alembic()).get_current_head()
    version = connection.exec_driver_sql("SELECT version_num FROM headrace.schema_version").scalar()
    if version != head:
        found.append(f"tables are at version {version}, {head} is the newest")
    window = _settle_window(before, settings)
    if window != settings.settle_window:
        found.append(
            f"HEADRACE_SETTLE_WINDOW is {settings.settle_window} here; {window} is in force since the last migrate, "
            "and would be replaced"
        )
    objects = _objects(domains, catalog, settings.model_copy(update={"settle_window": window}))
    names = ",".join(domain.name for domain in domains)
    if before.get("domains", "") != names:
        found.append(f"active domains are {before.get('domains') or 'none'}, would be {names or 'none'}")
    elif before.get("objects") != _fingerprint(objects) or not replaceables.all_there(
        connection, _split(objects)[0]
    ):
        found.append("functions and views differ from this version's")
    if version is not None:
        days = execute(connection, "SELECT headrace.missing_change_log_days()")
        if days:
            found.append(f"the change log lacks partitions for {len(days)} days")
    return found or rights.differences(connection, domains, settings.source_schema)


def capture_problems(connection: sa.Connection, domains: Iterable[Domain]) -> list[Problem]:
    """What is wrong with the capture of these domains' tables; nothing where an older version is installed."""
    return capture.problems(_capture_faults(connection, domains))


def _capture_faults(connection: sa.Connection, domains: Iterable[Domain]) -> list[capture.Fault]:
    if not capture.can_look(connection):
        return []
    return capture.read_faults(connection, captured_sources(domains))


def check_migration(database_url: str, settings: Settings) -> list[str]:
    """`pending` on a connection of its own.

    Raises:
        HeadraceError: as `migrate`.
    """
    database = engine(database_url)
    try:
        with database.connect() as connection:
            return pending(connection, settings)
    except sa.exc.DBAPIError as error:
        raise explained(_COMMAND, error) from error
    finally:
        database.dispose()
