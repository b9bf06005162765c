"""Roles and ownership: who makes Headrace's roles, who owns schema headrace, and what its roles get on the application's schema.

The rules are in dbt_like_sql/engine/rights. Here: applying them in migrate, and saying what is missing.
Not here: what logins may do (the domains' grants.sql).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import jinja2
import sqlalchemy as sa

from orchestration.database.connections import engine
from orchestration.database.sql_files import SQL_ROOT
from orchestration.database.statements import statement
from orchestration.errors import HeadraceError, Problem
from orchestration.install.change import Command, execute, explained
from orchestration.install.contract import Domain, inserting_functions

OWNER = "headrace_owner"
# The migrating role acts as these; the others are for logins.
INTERNAL = (OWNER, "headrace_capture", "headrace_ingest", "headrace_monitor")
GRANTED = ("headrace_reader", "headrace_app", "headrace_worker")
# Functions that see what headrace_owner may not see.
_MONITORING = ("oldest_writer", "held_up")
# These own functions. A new owner needs the right to create objects in the schema at the moment it becomes one.
_OWN_FUNCTIONS = "headrace_capture, headrace_ingest, headrace_monitor"


def _literal(text: str) -> str:
    # As an escape string, which means the same whatever standard_conforming_strings is.
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _literals(texts: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(map(_literal, texts))}]::text[]"


def _render(name: str, **context: str) -> str:
    """A file of engine/rights, without its leading comment."""
    text = SQL_ROOT.joinpath("engine", "rights", f"{name}.sql").read_text(encoding="utf-8")
    code = re.sub(r"\A(--.*\n)*", "", text)
    return str(jinja2.Template(code, undefined=jinja2.StrictUndefined).render(context))


def of_others() -> frozenset[str]:
    """The functions that do not belong to headrace_owner, apart from capture's, which are made separately."""
    return frozenset((*inserting_functions(), *_MONITORING))


def roles_statement(connection: sa.Connection) -> str:
    """One statement that makes the roles, and the connected role a member of them; for a superuser to run."""
    user = str(connection.exec_driver_sql("SELECT current_user").scalar_one())
    return _render("roles", migrator=_literal(user))


def read_roles_statement(database_url: str) -> str:
    """`roles_statement` on a separate connection.

    Raises:
        HeadraceError: the database is out of reach.
    """
    database = engine(database_url)
    try:
        with database.connect() as connection:
            return roles_statement(connection)
    except sa.exc.DBAPIError as error:
        raise explained(Command("migrate --roles", {}), error) from error
    finally:
        database.dispose()


def missing_roles(connection: sa.Connection) -> list[str]:
    """The roles that are missing, or that the connected role cannot act as, although migrating needs it."""
    roles = {"internal": list(INTERNAL), "granted": list(GRANTED)}
    return list(connection.exec_driver_sql(statement("install", "missing_roles"), roles).scalars())


def roles_problem(connection: sa.Connection) -> Problem | None:
    """The roles that migrate lacks and cannot make itself, with the statement that makes them."""
    missing = missing_roles(connection)
    if (
        not missing
        or connection.exec_driver_sql(
            "SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolcreaterole)"
        ).all()
    ):
        return None
    return Problem(
        f"roles are missing, or the one that is connected is no member of them: {', '.join(missing)}; "
        "let a superuser run this statement, once (headrace migrate --roles prints it)",
        roles_statement(connection),
    )


def superuser_note(
    connection: sa.Connection, domains: Iterable[Domain], source_schema: str
) -> Problem | None:
    """Warns if a superuser runs this on tables of an ordinary role, whose code then gets more rights than it should."""
    tables = [table.name for domain in domains for table in domain.tables]
    owners = connection.exec_driver_sql(
        statement("install", "owners_behind_superuser"), {"schema": source_schema, "tables": tables}
    )
    names = ", ".join(owners.scalars())
    if not names:
        return None
    return Problem(
        f"this runs as a superuser, and the tables belong to {names}, who can have code run as headrace_owner",
        f"run migrate and doctor as {names}: headrace migrate --roles as that role prints what is needed",
    )


def differences(connection: sa.Connection, domains: Iterable[Domain], source_schema: str) -> list[str]:
    """What migrate would change about owners and about rights on the application's tables, in words."""
    found = []
    if others := misplaced(connection):
        first, proper, _ = others[0]
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        found.append(f"owners differ: {first}{more} should belong to {proper}")
    return found + [what for what, _ in lacking(connection, domains, source_schema)]


def ensure_roles(connection: sa.Connection) -> None:
    """Makes the roles that are missing.

    Raises:
        HeadraceError: the connected role may not; the message ends with the statement for a superuser.
    """
    if not missing_roles(connection):
        return
    roles = roles_statement(connection)
    try:
        with connection.begin_nested():
            execute(connection, roles)
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
    if missing := missing_roles(connection):
        raise HeadraceError(
            f"migrate: roles are missing, or this one is no member of them: {', '.join(missing)}; nothing was changed; "
            f"let a superuser run this statement once (headrace migrate --roles prints it), then run migrate again:\n{roles}"
        )


@contextmanager
def acting_as_owner(connection: sa.Connection) -> Iterator[None]:
    """Within the block the transaction acts as headrace_owner, and afterwards as the role it was before.

    What is made in the block belongs to headrace_owner. The block gives no protection from the application's code, which could
    SET ROLE back. What reads the application's tables is therefore a SECURITY DEFINER function, in which that is impossible.
    """
    before = str(connection.exec_driver_sql("SELECT quote_ident(current_user)").scalar_one())
    connection.exec_driver_sql(f"SET LOCAL ROLE {OWNER}")
    yield
    # Not after a failure: the transaction is over then.
    connection.exec_driver_sql(f"SET LOCAL ROLE {before}")


def misplaced(connection: sa.Connection) -> list[tuple[str, str, str]]:
    """Objects of schema headrace with a wrong owner: the object, its proper owner, the statement that transfers it."""
    return [
        (row[0], row[1], row[2])
        for row in execute(connection, _render("owners", inserters=_literals(inserting_functions())))
    ]


def hand_over(connection: sa.Connection) -> None:
    """Gives everything in schema headrace to its proper owner. The schema must exist."""
    for object_, _, transfer in misplaced(connection)[:1]:
        if object_ == "schema headrace":
            execute(connection, transfer)
    statements = [transfer for _, _, transfer in misplaced(connection)]
    if not statements:
        return
    execute(connection, f"GRANT CREATE ON SCHEMA headrace TO {_OWN_FUNCTIONS}")
    for transfer in statements:
        execute(connection, transfer)
    execute(connection, f"REVOKE CREATE ON SCHEMA headrace FROM {_OWN_FUNCTIONS}")


def given(connection: sa.Connection) -> list[str]:
    """The statements that revoke what Headrace's roles were granted outside schema headrace."""
    return [row[0] for row in execute(connection, _render("source_rights_given"))]


def lacking(
    connection: sa.Connection, domains: Iterable[Domain], source_schema: str
) -> list[tuple[str, str]]:
    """What Headrace's roles lack on the application's schema, with the statements that grant it."""
    tables = [table for domain in domains for table in domain.tables]
    query = _render(
        "source_rights",
        schema=_literal(source_schema),
        reads=_literals(table.name for table in tables),
        inserts=_literals(table.name for table in tables if table.inserted_by),
    )
    return [(row[0], row[1]) for row in execute(connection, query)]


def give(connection: sa.Connection, domains: Iterable[Domain], source_schema: str) -> bool:
    """Gives Headrace's roles what they need on the application's schema; returns whether they lacked any of it.

    Raises:
        HeadraceError: the connected role may not grant all of it; the statements are in the message.
    """
    chosen = list(domains)
    lacked = lacking(connection, chosen, source_schema)
    for _, grant in lacked:
        execute(connection, grant)
    if left := lacking(connection, chosen, source_schema):
        raise HeadraceError(
            "migrate: the role lacks a right: it may not give Headrace's roles what they need of the application's schema; "
            "nothing was changed; run it as the owner of the source tables, or let that owner run first:\n"
            + "\n".join(f"{grant};" for _, grant in left)
        )
    return bool(lacked)
