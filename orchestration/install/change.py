"""What migrate and uninstall share: one transaction that gives way to the application, and errors as sentences.

Here: how schema headrace may be changed. Not here: what is changed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

from orchestration.database.connections import engine
from orchestration.database.sentences import as_sentence, said
from orchestration.database.sql_files import quoted_literal
from orchestration.database.statements import statement
from orchestration.errors import HeadraceError, Problem
from orchestration.install.contract import OLDEST_SERVER

# Long enough to meet a gap on a busy table, short enough that statements queued behind us wait less than a second.
LOCK_TIMEOUT_MS = 200
GIVE_UP_AFTER_SECONDS = 60.0

# The one lock by which changes of a database's installation take turns: two random numbers that nobody else uses.
TURN = (1730942863, 419860733)
_TRIED_AGAIN = ("55P03", "40P01", "40001")  # locked, deadlock, serialization

# Autovacuum gives way to sessions it blocks, but only after deadlock_timeout: by default that is longer than we wait.
_HURRY_AUTOVACUUM = (
    f"SELECT set_config('deadlock_timeout', '{LOCK_TIMEOUT_MS // 2}ms', true)"
    " WHERE has_parameter_privilege('deadlock_timeout', 'SET')"
)
_MOST_HOLDERS = 5
_SCHEMA_EXISTS = sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :schema")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Command:
    """A command that changes an installation, as its errors describe it.

    Attributes:
        name: as the user typed it.
        advice: what to do, by SQLSTATE.
        harmless: lock modes that others may hold on a source table without being in the way.
    """

    name: str
    advice: Mapping[str, str]
    harmless: tuple[str, ...] = ()


def change(
    database_url: str,
    source_schema: str,
    command: Command,
    work: Callable[[sa.Connection], Result],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Does `work` in one transaction, never at the same time as another change of the installation.

    It waits at most `LOCK_TIMEOUT_MS` for a lock; then the whole work starts again, until `GIVE_UP_AFTER_SECONDS` have
    passed. `work` should lock the application's tables in a different order each time: with an order opposite to a busy
    application's it would never get them all. Settings are made for the transaction only: behind a pooler the session is
    not ours.

    Raises:
        HeadraceError: nothing is changed; the message says why, and what to do.
    """
    deadline = clock() + GIVE_UP_AFTER_SECONDS
    database = engine(database_url)
    try:
        while True:
            is_our_turn = False
            try:
                with database.begin() as connection:
                    check_server(connection)
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                    connection.exec_driver_sql("SET LOCAL client_min_messages = warning")
                    connection.exec_driver_sql(_HURRY_AUTOVACUUM)
                    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", TURN)
                    is_our_turn = True
                    return work(connection)
            except sa.exc.DBAPIError as error:
                code = getattr(error.orig, "sqlstate", None)
                if code not in _TRIED_AGAIN:
                    raise explained(command, error) from error
                if clock() >= deadline:
                    found = _locked_out if is_our_turn else _never_our_turn
                    raise found(database, source_schema, command, error) from error
                sleep(random.uniform(0.1, 1.0))
    finally:
        database.dispose()


def _locked_out(
    database: sa.Engine, source_schema: str, command: Command, error: sa.exc.DBAPIError
) -> HeadraceError:
    parameters = {"source": source_schema, "harmless": list(command.harmless)}
    try:
        with database.connect() as connection:
            holders = connection.exec_driver_sql(statement("install", "holders"), parameters).all()
    except sa.exc.DBAPIError as unread:
        return explained(command, unread)
    held = [
        f"{table} by prepared transaction {gid} (forgotten? ROLLBACK PREPARED {quoted_literal(gid or '')})"
        if pid is None
        else f"{table} by pid {pid} ({name}" + ("" if seconds is None else f", {seconds} s") + ")"
        for pid, table, name, seconds, gid in holders[:_MOST_HOLDERS]
    ]
    return HeadraceError(
        f"{command.name}: a table it needs was locked for {GIVE_UP_AFTER_SECONDS:.0f} s "
        f"({said(error, detail=True)}); nothing was changed; "
        + (f"held now: {', '.join(held)}; " if held else "")
        + f"wait for that to end, or end it (SELECT pg_terminate_backend(pid)), then run {command.name} again"
    )


def _never_our_turn(
    database: sa.Engine, source_schema: str, command: Command, error: sa.exc.DBAPIError
) -> HeadraceError:
    try:
        with database.connect() as connection:
            holder = connection.exec_driver_sql(
                statement("install", "holder_of_the_turn"), {"first": TURN[0], "second": TURN[1]}
            ).first()
    except sa.exc.DBAPIError as unread:
        return explained(command, unread)
    if holder is None:
        held = "nobody holds it now"
    elif holder[0] is None:
        held = "a prepared transaction holds it (SELECT * FROM pg_prepared_xacts)"
    else:
        held = f"pid {holder[0]} ({holder[1]}, role {holder[2]}) holds it: if that is no migrate or uninstall at work, "
        held += f"SELECT pg_terminate_backend({holder[0]})"
    return HeadraceError(
        f"{command.name}: the advisory lock {TURN}, by which changes of an installation take turns, was not to be had for "
        f"{GIVE_UP_AFTER_SECONDS:.0f} s; nothing was changed; {held}; then run {command.name} again"
    )


def explained(command: Command, error: sa.exc.DBAPIError) -> HeadraceError:
    """An error of a change as a sentence: what is wrong and what to do about it."""
    return as_sentence(error, by=command.name, advice=command.advice)


def check_server(connection: sa.Connection) -> None:
    """Raises HeadraceError if the server is older than Headrace supports."""
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    if version < OLDEST_SERVER * 10000:
        raise HeadraceError(
            f"the server is PostgreSQL {version // 10000}; Headrace needs {OLDEST_SERVER} or newer: upgrade the server"
        )


def check_encoding(connection: sa.Connection) -> None:
    """Raises HeadraceError if the database's encoding gives its bytes no meaning. Not for uninstall, which does not care."""
    if connection.exec_driver_sql("SELECT getdatabaseencoding()").scalar_one() == "SQL_ASCII":
        raise HeadraceError(
            "the database's encoding is SQL_ASCII, which does not say what its bytes mean: statistics as JSON, and webhooks "
            "with any character beyond ASCII, need one that does; move its content into a database made WITH ENCODING 'UTF8' "
            "TEMPLATE template0 (pg_dump --encoding=…, psql)"
        )


def execute(connection: sa.Connection, script: str) -> list[tuple[Any, ...]]:
    """Runs a script as it stands: without parameters, so that % and : mean themselves. Returns the last statement's rows."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(script)
        return list(cursor.fetchall()) if cursor.description else []
    except psycopg.Error as error:
        raise sa.exc.DBAPIError.instance(script, None, error, psycopg.Error) from error
    finally:
        cursor.close()


def schema_problem(connection: sa.Connection, source_schema: str, catalog: Collection[str]) -> Problem | None:
    """What is wrong with the name of a source schema that has none of the tables; None if nothing is known to be wrong.

    Args:
        catalog: names of the contract's tables that the schema has.
    """
    if catalog:
        return None
    installed_for = read_installation(connection).get("source_schema")
    exists = connection.execute(_SCHEMA_EXISTS, {"schema": source_schema}).scalar() is not None
    if (exists and installed_for is None) or installed_for == source_schema:
        return None
    what = f"schema {source_schema} {'has none of the tables that Headrace reads' if exists else 'does not exist'}"
    if installed_for is not None:
        return Problem(
            f"{what}; Headrace is installed for schema {installed_for}",
            f"set HEADRACE_SOURCE_SCHEMA={installed_for}",
        )
    return Problem(what, "set HEADRACE_SOURCE_SCHEMA to the schema of the application's tables")


def read_installation(connection: sa.Connection) -> dict[str, str]:
    """What the last migrate recorded in headrace.installation; empty if Headrace is not installed."""
    if connection.exec_driver_sql("SELECT to_regclass('headrace.installation')").scalar() is None:
        return {}
    rows = connection.exec_driver_sql("SELECT name, value FROM headrace.installation")
    return {row.name: row.value for row in rows}
