"""Installs or upgrades schema headrace: tables by Alembic, everything replaceable from dbt_like_sql, in one transaction."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import sqlalchemy as sa

from orchestration.database.connections import engine
from orchestration.database.sql_files import SqlObject, in_dependency_order, load_objects
from orchestration.database.statements import statement
from orchestration.engine import capture
from orchestration.engine.housekeeping import add_partitions_once
from orchestration.errors import HeadraceError, Problem
from orchestration.install import fingerprints, replaceables, rights, versions
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
from orchestration.install.fingerprints import Definitions
from orchestration.install.relations import FoundTable
from orchestration.install.stream_requests import Requests, Stream
from orchestration.settings import Settings

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


@dataclass(frozen=True)
class Migrated:
    """What a migration did.

    Attributes:
        domains: active now.
        rebuilds: how many items were queued for counting; queued: the same by unit, for example campaigns.
        changed: whether anything was changed.
    """

    domains: tuple[str, ...]
    rebuilds: int
    changed: bool
    queued: Mapping[str, int] = field(default_factory=dict, compare=False)


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
            reachable, or locks could not be obtained for a minute. Nothing is left half done.
    """
    done = change(
        database_url,
        settings.source_schema,
        _COMMAND,
        lambda connection: _migrate(connection, settings),
        sleep=sleep,
        clock=clock,
    )
    # With writers at work, partitions are made in short transactions that they never wait for.
    added = asyncio.run(add_partitions_once(database_url))
    return replace(done, changed=done.changed or added > 0)


def fitting_domains(
    connection: sa.Connection, settings: Settings
) -> tuple[list[Domain], dict[str, FoundTable]]:
    """The domains that will be active, and the source tables as they are.

    Raises:
        HeadraceError: they do not fit the contract; every difference is named, with the statement that fixes it.
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


def _seconds(settings: Settings) -> dict[str, str]:
    """The duration settings in seconds, as SQL and headrace.installation have them."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {
        name: repr(value.total_seconds()) for name, value in values.items() if isinstance(value, timedelta)
    }


def _objects(
    domains: list[Domain], catalog: dict[str, FoundTable], schema: str, seconds: Mapping[str, str]
) -> list[SqlObject]:
    types = {table: found.columns for table, found in catalog.items()}
    return [
        item
        for name in ("engine", *(domain.name for domain in domains))
        for item in load_objects(name, schema, types, seconds)
    ]


@dataclass(frozen=True)
class _Files:
    """The rendered files by use: replaceables in dependency order; rights, streams, and captures by table."""

    replaceable: list[SqlObject]
    grants: list[SqlObject]
    streams: list[SqlObject]
    captures: dict[str, list[SqlObject]]


def _sorted(objects: list[SqlObject]) -> _Files:
    run = {
        kind: [o for o in objects if o.kind == kind and o.domain != "engine"]
        for kind in ("streams", "capture")
    }
    grants = [o for o in objects if o.name == "grants"]
    made = [o for o in objects if o not in grants and not any(o in items for items in run.values())]
    captures: dict[str, list[SqlObject]] = {}
    # Each locks its table: in a different order at each attempt (change.py).
    for item in random.sample(run["capture"], len(run["capture"])):
        captures.setdefault(item.name, []).append(item)
    return _Files(in_dependency_order(made), grants, run["streams"], captures)


def _migrate(connection: sa.Connection, settings: Settings) -> Migrated:
    connection.exec_driver_sql("SET LOCAL check_function_bodies = off")
    rights.ensure_roles(connection)
    domains, catalog = fitting_domains(connection, settings)
    before = read_installation(connection)
    seconds = _seconds(settings)
    objects = _objects(domains, catalog, settings.source_schema, seconds)
    files = _sorted(objects)
    names = tuple(domain.name for domain in domains)
    before_names = before.get("domains", "").split(",")
    there = [domain for domain in domains if domain.name in before_names]

    execute(connection, f"CREATE SCHEMA IF NOT EXISTS headrace AUTHORIZATION {rights.OWNER}")
    rights.hand_over(connection)
    given = rights.give(connection, domains, settings.source_schema)
    versions.upgrade(connection)

    faults = _capture_faults(connection, there)
    definitions = Definitions(connection, before, objects, [domain.name for domain in there])
    changed = (
        before.get("objects") != fingerprints.of_objects(objects)
        or not replaceables.all_there(connection, files.replaceable)
        or bool(faults)
        or given
    )
    if changed:
        replaceables.apply(connection, files.replaceable)
    rights.hand_over(connection)
    with rights.acting_as_owner(connection):
        # If a table can no longer be read as before, its notes are void: from here on it is read as it is.
        if any(fault.what for fault in faults):
            execute(connection, "UPDATE headrace.source SET mark = NULL")
        if not connection.exec_driver_sql(statement("install", "capturing_triggers"), {}).first():
            for (day,) in execute(connection, "SELECT headrace.missing_change_log_days()"):
                execute(connection, f"SELECT headrace.add_change_log_partition('{day:%Y-%m-%d}')")
                changed = True
    if changed:
        for item in files.grants:
            execute(connection, item.sql)
    requests = Requests(connection)
    with rights.acting_as_owner(connection):
        # Queue rebuilds before making triggers: triggers hold up the source tables' writers until we commit.
        streams = _register(connection, files, names, requests)
        missed = {fault.source for fault in faults if fault.missed}
        recounted = definitions.changed() | {name for name in names if name not in before_names}
        for stream in streams:
            if stream.domain in recounted or missed & set(stream.sources):
                requests.everything(stream)
            for setting, function in stream.on_setting.items():
                if before.get(f"{setting}_seconds") != seconds[setting]:
                    execute(connection, f"SELECT {function}()")
    # The owner of the application's tables makes the triggers; the functions that they call are handed over.
    repaired, unseen = _capture(connection, files, streams, requests)
    rights.hand_over(connection)
    with rights.acting_as_owner(connection):
        for stream in streams:
            if any((stream.domain, source) in unseen for source in stream.sources):
                requests.everything(stream)
            requests.what_is_new(stream)  # those created before the triggers took effect
        _note(connection, settings, objects, names)
    queued = {unit: count for unit, count in requests.queued.items() if count}
    return Migrated(names, sum(queued.values()), changed or repaired > 0, queued)


def _register(
    connection: sa.Connection, files: _Files, names: tuple[str, ...], requests: Requests
) -> list[Stream]:
    """Registers the domains' streams, and removes those that no domain has any more."""
    scripts = {item.name: item.sql for item in files.streams}
    connection.exec_driver_sql(statement("install", "drop_streams"), {"streams": list(scripts)})
    streams = requests.register(scripts)
    return [stream for stream in streams if stream.domain in names]


def _capture(
    connection: sa.Connection,
    files: _Files,
    streams: list[Stream],
    requests: Requests,
) -> tuple[int, set[tuple[str, str]]]:
    """Makes one set of triggers for each table, for all domains together; removes those that no domain wants any more.

    Returns: how many triggers were made or dropped; (domain, table) pairs whose changes may have gone unseen.
    """
    repaired, unseen = 0, set()
    for source, items in files.captures.items():
        requests.altered(source, [stream for stream in streams if source in stream.sources])
        specs = {item.domain: execute(connection, item.sql)[0][0] for item in items}
        made, missed = connection.exec_driver_sql(
            "SELECT made, missed FROM headrace.capture_table(%(source)s, %(specs)s)",
            {"source": source, "specs": json.dumps(specs)},
        ).one()
        repaired += made
        unseen |= {(domain, source) for domain in missed}
    for (source,) in connection.exec_driver_sql(
        statement("install", "unwanted_captures"), {"sources": list(files.captures)}
    ).all():
        repaired += execute(connection, f"SELECT headrace.drop_capture('{source}')")[0][0]
    return repaired, unseen


def _note(
    connection: sa.Connection,
    settings: Settings,
    objects: list[SqlObject],
    names: tuple[str, ...],
) -> None:
    notes = {
        "objects": fingerprints.of_objects(objects),
        "domains": ",".join(names),
        "source_schema": settings.source_schema,
        **{f"{name}_seconds": value for name, value in _seconds(settings).items()},
        **{
            fingerprints.key(name): json.dumps(fingerprints.of_definitions(objects, name), sort_keys=True)
            for name in names
        },
    }
    for name, value in notes.items():
        connection.exec_driver_sql(statement("install", "note"), {"name": name, "value": value})
    # Left by an older version: one fingerprint for all domains' definitions.
    connection.exec_driver_sql("DELETE FROM headrace.installation WHERE name = 'definition'")


def pending(connection: sa.Connection, settings: Settings) -> list[str]:
    """What `migrate` would change, in words; empty if the database is up to date. Changes and locks nothing."""
    found = outdated(connection, settings)
    there = read_installation(connection).get("domains", "").split(",")
    domains, _ = fitting_domains(connection, settings)
    return found + [p.what for p in capture_problems(connection, [d for d in domains if d.name in there])]


def outdated(connection: sa.Connection, settings: Settings) -> list[str]:
    """`pending` without the faults of capture."""
    check_server(connection)
    domains, catalog = fitting_domains(connection, settings)
    before = read_installation(connection)
    if not before:
        return ["schema headrace is not installed"]
    found = []
    if older := versions.difference(connection):
        found.append(older)
    seconds = _seconds(settings)
    in_force = {name: before.get(f"{name}_seconds", value) for name, value in seconds.items()}
    objects = _objects(domains, catalog, settings.source_schema, in_force)
    for name in sorted({name for item in objects for name in item.settings}):
        if in_force[name] != seconds[name]:
            found.append(
                f"HEADRACE_{name.upper()} is {getattr(settings, name)} here; {timedelta(seconds=float(in_force[name]))} "
                "is in force since the last migrate, and would be replaced"
            )
    names = ",".join(domain.name for domain in domains)
    if before.get("domains", "") != names:
        found.append(f"active domains are {before.get('domains') or 'none'}, would be {names or 'none'}")
    elif before.get("objects") != fingerprints.of_objects(objects) or not replaceables.all_there(
        connection, _sorted(objects).replaceable
    ):
        found.append("functions and views differ from this version's")
    if versions.installed(connection):
        days = execute(connection, "SELECT headrace.missing_change_log_days()")
        if days:
            found.append(f"the change log lacks partitions for {len(days)} days")
    return found or rights.differences(connection, domains, settings.source_schema)


def capture_problems(connection: sa.Connection, domains: Iterable[Domain]) -> list[Problem]:
    """What is wrong with the capture of these domains' tables; empty if an older version is installed."""
    return capture.problems(_capture_faults(connection, domains))


def _capture_faults(connection: sa.Connection, domains: Iterable[Domain]) -> list[capture.Fault]:
    if not capture.can_look(connection):
        return []
    return capture.read_faults(connection, captured_sources(domains))


def check_migration(database_url: str, settings: Settings) -> list[str]:
    """`pending` on a separate connection.

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
