"""What of schema headrace can be made anew at any time: views, functions, types. How it is put in place of an older version's.

Here: making, and dropping what stands in the way. Not here: when that is due, and what holds data (migrate.py).
"""

from __future__ import annotations

from contextlib import nullcontext
from itertools import groupby

import sqlalchemy as sa

from orchestration.database.sql_files import SqlObject
from orchestration.database.statements import statement
from orchestration.install import rights
from orchestration.install.change import execute


def apply(connection: sa.Connection, replaceable: list[SqlObject]) -> None:
    try:
        with connection.begin_nested():
            _make(connection, replaceable)
            if not _left_over(connection, replaceable):
                return
    except sa.exc.DBAPIError as error:
        # Another shape than the one that is there (columns of a view, result of a function) cannot be replaced in place.
        if getattr(error.orig, "sqlstate", None) not in ("42P16", "42P13"):
            raise
    _drop(connection)
    _make(connection, replaceable)


def _make(connection: sa.Connection, replaceable: list[SqlObject]) -> None:
    """As their owner, so that no default privileges of the migrating role come along; but for those of other owners."""
    others = rights.of_others()
    for is_others, items in groupby(replaceable, lambda item: item.name in others):
        with nullcontext() if is_others else rights.acting_as_owner(connection):
            for item in items:
                execute(connection, item.sql)


def _left_over(connection: sa.Connection, replaceable: list[SqlObject]) -> bool:
    """Whether there are views or functions of an older version: with names that are no more, of another kind, with other parameters."""
    views = [item.name for item in replaceable if f"VIEW headrace.{item.name} AS" in item.sql]
    others = [item.name for item in replaceable if item.name not in views]
    names = [item.name for item in replaceable]
    rows = connection.exec_driver_sql(
        statement("install", "left_over"), {"names": names, "views": views, "others": others}
    )
    return rows.first() is not None


def _drop(connection: sa.Connection) -> None:
    """Drops our views and functions, not those that capture generated. What others built upon them is refused, by name."""
    for drop in connection.exec_driver_sql(statement("install", "drop_replaceables"), {}).scalars().all():
        execute(connection, drop)


def all_there(connection: sa.Connection, replaceable: list[SqlObject]) -> bool:
    there = {
        row[0]
        for row in connection.exec_driver_sql(
            "SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace('headrace')"
            " UNION SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('headrace')"
            " UNION SELECT typname FROM pg_type WHERE typnamespace = to_regnamespace('headrace')"
        )
    }
    return all(item.name in there for item in replaceable)
