"""Removes schema headrace and its triggers, in one transaction, and leaves everything else as it was.

Here: what is ours, and in which order it is locked and dropped. Not here: how a change gives way (installation.py).
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.database.connections import engine
from orchestration.database.sql_files import SQL_ROOT, sql_file_names
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

# From the first lock to the last: whoever waits for us waits no longer than this and the milliseconds of the drops.
ALL_LOCKS_WITHIN_SECONDS = 0.6
WORKER_SILENT_SECONDS = 30

_COMMAND = Command(
    "uninstall",
    {
        "42501": "the role lacks a right: run it as the owner of schema headrace and of the source tables",
        "2BP01": "nothing was changed; drop what others built upon Headrace, or move it to another schema, first "
        "(what an older version left goes with headrace migrate)",
    },
)

# Ours by the function they call, whatever their name, their table, or the settings of the moment.
_TRIGGERS = """
    SELECT
        t.oid::regclass::text AS relation, t.relkind IN ('r', 'p') AS is_lockable, t.relispartition AS is_partition,
        CASE g.tgparentid WHEN 0 THEN format('DROP TRIGGER %I ON %s', g.tgname, t.oid::regclass) END AS drop_it
    FROM pg_trigger g
    JOIN pg_proc f ON f.oid = g.tgfoid AND f.pronamespace = 'headrace'::regnamespace
    JOIN pg_class t ON t.oid = g.tgrelid AND t.relnamespace <> f.pronamespace
    ORDER BY (SELECT count(*) FROM pg_partition_ancestors(t.oid)), t.oid, g.tgname
"""
_AROUND = """
    SELECT
        current_database(),
        (SELECT count(*) FROM headrace.worker
         WHERE state = 'running' AND seen_at > now() - make_interval(secs => :silent)),
        ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = ANY (:roles) ORDER BY 1)
"""
# What goes silently with our tables, and was not made by us. All else that depends on them PostgreSQL names itself.
_BUILT_UPON = """
    SELECT 'publication ' || quote_ident(p.pubname) || ' (' || r.prrelid::regclass || ')'
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid
    WHERE c.relnamespace = 'headrace'::regnamespace
    UNION ALL
    SELECT 'publication ' || quote_ident(p.pubname) || ' (tables in schema headrace)'
    FROM pg_publication_namespace n JOIN pg_publication p ON p.oid = n.pnpubid
    WHERE n.pnnspid = 'headrace'::regnamespace
    UNION ALL
    SELECT 'trigger ' || quote_ident(g.tgname) || ' (' || g.tgrelid::regclass || ')'
    FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_proc f ON f.oid = g.tgfoid
    WHERE c.relnamespace = 'headrace'::regnamespace AND f.pronamespace <> c.relnamespace AND NOT g.tgisinternal
    ORDER BY 1
"""
# As a step locks it: with this no batch is under way, and the next ones pass on instead of waiting with locks of theirs.
_NO_BATCH = "SELECT FROM headrace.stream_cursor ORDER BY stream, shard FOR UPDATE"
# Those first with which a worker's transactions begin, in that order.
_TABLES = """
    SELECT oid::regclass::text AS relation, relname = 'change_log' OR relispartition AS is_log
    FROM pg_class WHERE relnamespace = 'headrace'::regnamespace AND relkind IN ('r', 'p')
    ORDER BY array_position(ARRAY['stream', 'stream_cursor', 'campaign'], relname::text), oid
"""
# Without CASCADE: what others built upon it is refused, by name.
_DROPS = """
    SELECT statement FROM (
        SELECT 1 AS step, 'DROP VIEW ' || string_agg(oid::regclass::text, ', ') AS statement FROM pg_class
        WHERE relnamespace = 'headrace'::regnamespace AND relkind = 'v' AND relname = ANY (:objects)
        UNION ALL
        SELECT 2, format('DROP TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass)
        FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_proc f ON f.oid = g.tgfoid
        WHERE c.relnamespace = 'headrace'::regnamespace AND f.pronamespace = c.relnamespace AND NOT g.tgisinternal
        UNION ALL
        SELECT 3, 'DROP ROUTINE ' || string_agg(oid::regprocedure::text, ', ') FROM pg_proc
        WHERE pronamespace = 'headrace'::regnamespace AND (proname = ANY (:objects)
            OR prorettype = 'trigger'::regtype AND proname ~ '^capture_.*_(insert|update|delete|truncate)$'
            OR prorettype = 'boolean'::regtype AND proname ~ '^capture_.*_watched$')
        UNION ALL
        SELECT 4, 'DROP TABLE ' || string_agg(oid::regclass::text, ', ') FROM pg_class
        WHERE relnamespace = 'headrace'::regnamespace AND relkind IN ('r', 'p') AND relname = ANY (:tables)
        UNION ALL
        SELECT 5, 'DROP TYPE ' || string_agg(t.oid::regtype::text, ', ')
        FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typnamespace = 'headrace'::regnamespace
            AND (c.relkind = 'c' AND t.typname = ANY (:objects) OR t.typtype = 'e' AND t.typname = ANY (:types))
        UNION ALL
        SELECT 6, 'DROP SCHEMA headrace'
    ) s WHERE statement IS NOT NULL ORDER BY step
"""


@dataclass(frozen=True)
class Installation:
    """What is there to be removed, and what stays.

    Attributes:
        database: its name.
        triggers: the statements that drop them; clones on partitions go with their parent's.
        tables: of the application that bear them.
        partitions: of these tables, foreign ones left out: they cannot be locked by name.
        workers: that run at this moment.
        roles: of Headrace in this cluster; they stay.
    """

    database: str
    triggers: tuple[str, ...]
    tables: tuple[str, ...]
    partitions: tuple[str, ...]
    workers: int
    roles: tuple[str, ...]


def installation(database_url: str) -> Installation | None:
    """What `uninstall` would remove; None where Headrace is not installed. Changes and locks nothing.

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
    triggers = connection.execute(sa.text(_TRIGGERS)).all()
    name, workers, roles = connection.execute(
        sa.text(_AROUND), {"silent": WORKER_SILENT_SECONDS, "roles": [*rights.INTERNAL, *rights.GRANTED]}
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
    """Uninstalls; what was there, or None where nothing was. Safe under traffic, and beside workers and migrations.

    Raises:
        HeadraceError: others built upon Headrace's objects, the role lacks rights, the database is out of reach, or
            locks were not to be had for a minute. Nothing is changed then.
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
    if built := connection.execute(sa.text(_BUILT_UPON)).scalars().all():
        raise HeadraceError(
            f"uninstall: others built upon Headrace's tables: {', '.join(built)}; nothing was changed; "
            "take that back first, then run uninstall again"
        )
    tables = connection.execute(sa.text(_TABLES)).all()
    made = {"objects": _objects(), "tables": ["schema_version", *_made("TABLE")], "types": _made("TYPE")}
    drops = connection.execute(sa.text(_DROPS), made).scalars().all()
    locked = [
        *(table.relation for table in tables if not table.is_log),
        *random.sample(found.tables, len(found.tables)),
        *found.partitions,
        # Last, for whoever writes to a source table holds it too.
        *(table.relation for table in tables if table.is_log),
    ]
    locks = [f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE" for table in locked]
    began = clock()
    # Read at last: some of it belongs to the application's tables and goes with nothing.
    taken_back = rights.given(connection)
    for statement in (_NO_BATCH, *locks, *found.triggers, *drops, *taken_back):
        left = int(1000 * (ALL_LOCKS_WITHIN_SECONDS - (clock() - began)))
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, min(LOCK_TIMEOUT_MS, left))}")
        execute(connection, statement)
    return found


def _objects() -> list[str]:
    """Names of the views, functions and types that migrate makes."""
    return [name for domain in ("engine", *read_contract()) for name in sql_file_names(domain, "")]


def _made(kind: str) -> list[str]:
    """Names of the tables or types that the migrations make."""
    versions = SQL_ROOT.joinpath("migrations", "versions")
    scripts = [path.read_text(encoding="utf-8") for path in versions.iterdir() if path.name.endswith(".sql")]
    return re.findall(rf"^CREATE {kind} headrace\.([a-z_]+)", "\n".join(scripts), re.MULTILINE)
