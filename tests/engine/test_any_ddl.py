"""The guest rule for tables: whatever an application does to its tables and columns works as it would without Headrace.

Each statement runs on two databases with the same rows, only one of which has Headrace: it must end the same way on both.
Afterwards the statistics are right, or reported as paused with the name of the column, and right again once it is undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError
from orchestration.install.doctor import diagnose
from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree
from tests.databases import create_clone, create_database, drop_database, with_database
from tests.rows import a_history, insert

TABLES = ("campaigns", "send_queue", "message_status_logs", "messages", "campaign_contacts")
# For each type: another type, the way back, and the same type with other values.
OTHER_TYPES = {
    "uuid": ("text", "uuid USING {}::uuid", "uuid USING md5({}::text)::uuid"),
    "text": ("varchar(300)", "text", "text USING reverse({})"),
    "timestamp with time zone": (
        "timestamp USING {} AT TIME ZONE 'UTC'",
        "timestamptz USING {} AT TIME ZONE 'UTC'",
        "timestamptz USING {} + interval '2 days'",
    ),
    "bigint": ("numeric", "bigint", "bigint USING {} + 1000"),
    "jsonb": ("text", "jsonb USING {}::jsonb", "jsonb USING '[1]'"),
}


@dataclass(frozen=True)
class Column:
    table: str
    name: str
    type: str
    default: str | None


@dataclass(frozen=True)
class Kind:
    """A kind of DDL: the statements for a column, and those that undo them."""

    do: Callable[[Column], str]
    undo: Callable[[Column], str]


def _retyped(place: int) -> Callable[[Column], str]:
    def statement(column: Column) -> str:
        new = OTHER_TYPES[column.type][place].format(column.name)
        lose = (
            f"ALTER TABLE {column.table} ALTER {column.name} DROP IDENTITY IF EXISTS;" if place == 0 else ""
        )
        default = f", ALTER {column.name} DROP DEFAULT" if place == 0 else ""
        return f"{lose} ALTER TABLE {column.table} ALTER {column.name} DROP DEFAULT, ALTER {column.name} TYPE {new}{default}"

    return statement


def _default(column: Column) -> str:
    return (
        f"; ALTER TABLE {column.table} ALTER {column.name} SET DEFAULT {column.default}"
        if column.default
        else ""
    )


def _refilled(column: Column) -> str:
    return (
        f"ALTER TABLE {column.table} ADD {column.name} {column.type}{_default(column)};"
        f" UPDATE {column.table} t SET {column.name} = k.{column.name} FROM kept_{column.table} k WHERE k.row_no = t.row_no"
    )


KINDS = {
    "renamed": Kind(
        lambda c: f"ALTER TABLE {c.table} RENAME {c.name} TO renamed",
        lambda c: f"ALTER TABLE {c.table} RENAME renamed TO {c.name}",
    ),
    "dropped": Kind(lambda c: f"ALTER TABLE {c.table} DROP {c.name} CASCADE", _refilled),
    "of another type": Kind(_retyped(0), lambda c: _retyped(1)(c) + _default(c)),
    "with other values": Kind(_retyped(2), lambda c: f"SELECT 1{_default(c)}"),
    "replaced by another of its name": Kind(
        lambda c: (
            f"ALTER TABLE {c.table} RENAME {c.name} TO old; ALTER TABLE {c.table} ADD {c.name} {c.type};"
            f" UPDATE {c.table} SET {c.name} = old"
        ),
        lambda c: (
            f"ALTER TABLE {c.table} DROP {c.name} CASCADE; ALTER TABLE {c.table} RENAME old TO {c.name}"
        ),
    ),
    "dropped and added again": Kind(
        lambda c: f"ALTER TABLE {c.table} DROP {c.name} CASCADE; {_refilled(c)}",
        lambda c: f"ALTER TABLE {c.table} DROP {c.name} CASCADE; {_refilled(c)}",
    ),
    "with another default": Kind(
        lambda c: f"ALTER TABLE {c.table} ALTER {c.name} SET DEFAULT NULL, ALTER {c.name} SET STATISTICS 7",
        lambda c: f"ALTER TABLE {c.table} ALTER {c.name} DROP DEFAULT{_default(c)}",
    ),
}
# Changes to a whole table, and what undoes them.
OF_TABLES = {
    "another column": ("ALTER TABLE {} ADD archived boolean DEFAULT false", "ALTER TABLE {} DROP archived"),
    "another name": ("ALTER TABLE {} RENAME TO other_name", "ALTER TABLE other_name RENAME TO {}"),
    "another schema": (
        "CREATE SCHEMA elsewhere; ALTER TABLE {} SET SCHEMA elsewhere",
        "ALTER TABLE elsewhere.{} SET SCHEMA public; DROP SCHEMA elsewhere",
    ),
    "unlogged and back": ("ALTER TABLE {} SET (fillfactor = 70); VACUUM FULL {}", "SELECT 1"),
    "other options": (
        "ALTER TABLE {} REPLICA IDENTITY FULL; ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
    ),
}


class Twins:
    """Two databases with the same rows, the second with Headrace; each with an old session and with new ones."""

    def __init__(self, without: str, with_headrace: str, stack: ExitStack) -> None:
        self.urls = (without, with_headrace)
        self.old = [stack.enter_context(psycopg.connect(url, autocommit=True)) for url in self.urls]

    def run(self, statements: str, sessions: Sequence[psycopg.Connection[Any]] | None = None) -> str | None:
        """Runs a script on both, in their old sessions unless it is said otherwise; the SQLSTATE with which it failed on both."""
        ends = []
        for session in sessions or self.old:
            try:
                for statement in statements.split("; "):
                    session.execute(statement.encode())
                ends.append(None)
            except psycopg.Error as error:
                ends.append(error.sqlstate)
        assert ends[0] == ends[1], statements
        return ends[0]

    def write(self, table: str, beside: str | None = None) -> None:
        """Writes existing rows and new ones, through the old sessions and through new ones: each column alone, and all at once.

        Args:
            beside: an altered column; of each column alone then only this one, if it is there, and the next one.
        """
        columns = alone = self.columns(table)
        if beside is not None:
            later = [column for column in columns if column.name > beside] or columns
            alone = [column for column in columns if column.name == beside] + [min(later, key=_name)]
        with ExitStack() as stack:
            new = [stack.enter_context(psycopg.connect(url, autocommit=True)) for url in self.urls]
            for sessions in (self.old, new):
                self.run(f"INSERT INTO {table} DEFAULT VALUES", sessions)
                for column in alone:
                    self.run(
                        f"UPDATE {table} SET {column.name} = {_other_value(column)} WHERE row_no % 3 = 1",
                        sessions,
                    )
                self.run(
                    f"UPDATE {table} SET " + ", ".join(f"{c.name} = {c.name}" for c in columns), sessions
                )
                self.run(f"DELETE FROM {table} WHERE row_no = (SELECT max(row_no) FROM {table})", sessions)

    def columns(self, table: str) -> list[Column]:
        rows = self.old[0].execute(
            "SELECT a.attname, format_type(a.atttypid, NULL), pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a"
            " LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)"
            " WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'row_no' ORDER BY a.attnum",
            [table],
        )
        return [Column(table, *row) for row in rows]


def _name(column: Column) -> str:
    return column.name


def _other_value(column: Column) -> str:
    match column.type:
        case "text" | "character varying":
            return f"reverse({column.name})" if column.name not in ("status", "direction") else column.name
        case "timestamp with time zone" | "timestamp without time zone":
            return f"{column.name} + interval '1 minute'"
        case _:
            return column.name


@pytest.fixture(scope="module")
def of_twins(server_url: str, templates: dict[str, str], settings: Settings) -> Iterator[tuple[str, str]]:
    """Templates for the two databases."""
    names = create_database(server_url, templates["app"]), create_database(server_url, templates["app"])
    without, with_headrace = (with_database(server_url, name) for name in names)
    for url in (without, with_headrace):
        with psycopg.connect(url, autocommit=True) as session:
            a_history(session)
            insert(session, "campaign_contacts", user_phone="1", template_name="t")
            for table in TABLES:
                session.execute(
                    f"ALTER TABLE {table} ADD row_no integer GENERATED ALWAYS AS IDENTITY".encode()
                )
                session.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}".encode())
    # The same ids on both, because the results of statements are compared.
    migrate(with_headrace, settings)
    asyncio.run(drain(with_headrace))
    yield names
    for name in names:
        drop_database(server_url, name)


@pytest.fixture
def twins(server_url: str, of_twins: tuple[str, str]) -> Iterator[Twins]:
    names = create_database(server_url, of_twins[0]), create_clone(server_url, of_twins[1])
    with ExitStack() as stack:
        both = Twins(with_database(server_url, names[0]), with_database(server_url, names[1]), stack)
        for table in TABLES:
            both.write(table)
        yield both
    for name in names:
        drop_database(server_url, name)


def settle(twins: Twins, column: str | None) -> str | None:
    """Brings the statistics up to date; checks that they are right, or returns why they are paused."""
    why = None
    try:
        asyncio.run(drain(twins.urls[1]))
    except HeadraceError as error:
        why = str(error)
    if why is None:
        assert_all_agree(twins.old[1])
    else:
        assert "is paused" in why
        assert column is None or f"column {column} of" in why
    return why


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", TABLES)
def test_any_ddl_on_any_column_and_every_write_after_it_end_as_they_do_without_headrace(
    table: str, kind: str, twins: Twins, settings: Settings
) -> None:
    paused = []
    for column in twins.columns(table):
        if twins.run(KINDS[kind].do(column)) is not None:
            continue  # refused with and without us
        twins.write(table, column.name)
        why = settle(twins, column.name)
        if why is not None:
            paused.append(column.name)
            if len(paused) == 1:
                said = [problem.what for problem in diagnose(twins.urls[1], settings).errors]
                assert any(
                    f"column {column.name} of table {table}" in what or f"column {column.name}" in what
                    for what in said
                )
        assert twins.run(KINDS[kind].undo(column)) is None
        twins.write(table, column.name)
        assert settle(twins, None) is None, column
    if table in ("send_queue", "messages") and kind == "renamed":
        assert "user_phone" in paused


@pytest.mark.parametrize("what", OF_TABLES)
def test_anything_done_to_a_table_and_every_write_after_it_end_as_they_do_without_headrace(
    what: str, twins: Twins
) -> None:
    for table in TABLES:
        do, undo = (statement.replace("{}", table) for statement in OF_TABLES[what])
        assert twins.run(do) is None
        twins.write(
            "other_name"
            if what == "another name"
            else "elsewhere." + table
            if what == "another schema"
            else table
        )
        settle(twins, None)
        assert twins.run(undo) is None
        twins.write(table)
        assert settle(twins, None) is None, table
