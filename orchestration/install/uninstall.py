"""Removes schema headrace and its triggers, in one transaction, and leaves everything else as it was.

Here: what is ours, and in which order it is locked and dropped. Not here: how a change gives way (change.py).
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.database.connections import engine
from orchestration.database.sql_files import migration_folders, sql_file_names
from orchestration.database.statements import statement
from orchestration.engine.backlog import WORKER_SILENT_SECONDS
from orchestration.errors import HeadraceError
from orchestration.install import rights
from orchestration.install.change import (
    LOCK_TIMEOUT_MS,
    Command,
    change,
    execute,
    explained,
    read_installation,
)
from orchestration.install.contract import read_contract
from orchestration.settings import Settings

# From the first lock to the last: others wait for us at most this long, plus the milliseconds of the drops.
ALL_LOCKS_WITHIN_SECONDS = 0.6

_COMMAND = Command(
    "uninstall",
    {
        "42501": "the role lacks a right: run it as the owner of schema headrace and of the source tables",
        "2BP01": "nothing was changed; drop what others built upon Headrace, or move it to another schema, first "
        "(what an older version left goes with headrace migrate)",
    },
)

# The lock of a step: while we hold it no batch is under way, and new ones give up instead of waiting with locks of theirs.
_NO_BATCH = "SELECT FROM headrace.stream_cursor ORDER BY stream, shard FOR UPDATE"
# First the tables with which a worker's transactions begin, in that order; then those that the domains lock first.
_LOCKED_FIRST = ("stream", "stream_cursor")


@dataclass(frozen=True)
class Installation:
    """What there is to remove, and what stays.

    Attributes:
        database: its name.
        triggers: the statements that drop them; clones on partitions go with their parents.
        tables: the application's tables that have them.
        partitions: of these tables, except foreign ones, which cannot be locked by name.
        workers: how many are running.
        roles: Headrace's roles in this cluster; they stay.
    """

    database: str
    triggers: tuple[str, ...]
    tables: tuple[str, ...]
    partitions: tuple[str, ...]
    workers: int
    roles: tuple[str, ...]


def installation(database_url: str) -> Installation | None:
    """What `uninstall` would remove; None if Headrace is not installed. Changes and locks nothing.

    Raises:
        HeadraceError: the database is out of reach, or a right is missing.
    """
    database = engine(database_url)
    try:
        with database.connect() as connection:
            return _installation(connection)
    except sa.exc.DBAPIError as error:
        raise explained(_COMMAND, error) from error
    finally:
        database.dispose()


def _installation(connection: sa.Connection) -> Installation | None:
    if not read_installation(connection):
        return None
    triggers = connection.exec_driver_sql(statement("install", "own_triggers"), {}).all()
    name, workers, roles = connection.exec_driver_sql(
        statement("install", "around"),
        {"silent": WORKER_SILENT_SECONDS, "roles": [*rights.INTERNAL, *rights.GRANTED]},
    ).one()
    return Installation(
        database=name,
        triggers=tuple(trigger.drop_it for trigger in triggers if trigger.drop_it is not None),
        tables=tuple(dict.fromkeys(trigger.relation for trigger in triggers if not trigger.is_partition)),
        partitions=tuple(dict.fromkeys(t.relation for t in triggers if t.is_partition and t.is_lockable)),
        workers=workers,
        roles=tuple(roles),
    )


def uninstall(
    database_url: str,
    settings: Settings,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Installation | None:
    """Uninstalls; returns what was there, or None if nothing was. Safe under traffic, and beside workers and migrations.

    Raises:
        HeadraceError: others built upon Headrace's objects, the role lacks rights, the database is out of reach, or
            locks could not be obtained for a minute. Nothing is changed then.
    """
    return change(
        database_url,
        settings.source_schema,
        _COMMAND,
        lambda connection: _uninstall(connection, clock),
        sleep=sleep,
        clock=clock,
    )


def _uninstall(connection: sa.Connection, clock: Callable[[], float]) -> Installation | None:
    found = _installation(connection)
    if found is None:
        return None
    if built := connection.exec_driver_sql(statement("install", "built_upon"), {}).scalars().all():
        raise HeadraceError(
            f"uninstall: others built upon Headrace's tables: {', '.join(built)}; nothing was changed; "
            "take that back first, then run uninstall again"
        )
    domains = read_contract()
    first = [*_LOCKED_FIRST, *(table for domain in domains.values() for table in domain.locked_first)]
    tables = connection.exec_driver_sql(statement("install", "own_tables"), {"first": first}).all()
    made = {"objects": _objects(), "tables": ["schema_version", *_made("TABLE")], "types": _made("TYPE")}
    drops = connection.exec_driver_sql(statement("install", "drops"), made).scalars().all()
    locked = [
        *(table.relation for table in tables if not table.is_log),
        *random.sample(found.tables, len(found.tables)),
        *found.partitions,
        # Last, because writers to a source table hold it too.
        *(table.relation for table in tables if table.is_log),
    ]
    locks = [f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE" for table in locked]
    began = clock()
    # Read last: some of these rights are on the application's tables, and no drop removes them.
    taken_back = rights.given(connection)
    for step in (_NO_BATCH, *locks, *found.triggers, *drops, *taken_back):
        left = int(1000 * (ALL_LOCKS_WITHIN_SECONDS - (clock() - began)))
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, min(LOCK_TIMEOUT_MS, left))}")
        execute(connection, step)
    return found


def _objects() -> list[str]:
    """Names of the views, functions and types that migrate makes."""
    return [name for domain in ("engine", *read_contract()) for name in sql_file_names(domain, "")]


def _made(kind: str) -> list[str]:
    """Names of the tables or types that the migrations make."""
    scripts = [
        path.read_text(encoding="utf-8")
        for folder in migration_folders(read_contract())
        for path in folder.glob("*.sql")
    ]
    return re.findall(rf"^CREATE {kind} headrace\.([a-z_]+)", "\n".join(scripts), re.MULTILINE)
