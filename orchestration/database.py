"""Connections, and the SQL files: where they lie, how they are rendered, in which order they are applied."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import jinja2
import psycopg
import sqlalchemy as sa

from orchestration.errors import HeadraceError
from orchestration.sessions import AsyncSession, Session, open_async_session, open_session

SQL_ROOT: Traversable = files("dbt_like_sql")


def open_connection(database_url: str, application_name: str = "headrace") -> Session:
    """A connection, set up as `sessions` says.

    Raises:
        HeadraceError: the URL is none; the message never quotes it.
        psycopg.OperationalError: nobody answers.
    """
    try:
        return open_session(database_url, application_name)
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:
            raise
        raise cannot_connect(error) from None


def engine(database_url: str) -> sa.Engine:
    """A pool-less engine on `open_connection`."""
    # Whatever the database's default is: who waits for a lock has to see what its holder left.
    return sa.create_engine(
        "postgresql+psycopg://",
        poolclass=sa.NullPool,
        creator=lambda: open_connection(database_url),
        isolation_level="READ COMMITTED",
        use_native_hstore=False,  # nothing of ours has that type, and it would be looked for at each connect
    )


def connection_problem(error: Exception) -> str:
    """A driver's or server's message on one line: what and which, without the statement and where in it."""
    problem = getattr(error, "orig", None) or error
    if isinstance(problem, psycopg.Error) and problem.diag.message_primary:
        told = [problem.diag.message_primary, problem.diag.message_detail]
        return " ".join(": ".join(filter(None, told)).split())
    return " ".join(str(problem).split())


async def connect(database_url: str, application_name: str = "headrace") -> AsyncSession:
    """An async connection in autocommit mode: transactions are opened where they are needed, by name.

    Raises:
        HeadraceError: no connection could be made; the message never quotes the URL.
    """
    try:
        return await open_async_session(database_url, application_name)
    except psycopg.Error as error:
        raise cannot_connect(error) from None


def cannot_connect(error: Exception) -> HeadraceError:
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        # libpq could not read the URL; its message may quote it, and with it the password.
        return HeadraceError(
            "HEADRACE_DATABASE_URL is not a URL PostgreSQL understands: it looks like "
            "postgresql://user:password@host:5432/database, with special characters percent-encoded",
            exit_code=2,
        )
    return HeadraceError(
        f"cannot connect to the database: {connection_problem(error)}; check HEADRACE_DATABASE_URL "
        "(postgresql://user:password@host:5432/database) and that the server runs",
        exit_code=2,
    )


def migration_sql(name: str) -> list[str]:
    """The statements of a migration's SQL file, in order."""
    return split_statements(
        SQL_ROOT.joinpath("migrations", "versions", f"{name}.sql").read_text(encoding="utf-8")
    )


def split_statements(script: str) -> list[str]:
    """Splits at semicolons that end a line outside of dollar quotes; the scripts of this project end them there."""
    statements: list[str] = []
    lines: list[str] = []
    quote: str | None = None
    for line in script.splitlines():
        lines.append(line)
        for tag in re.findall(r"\$[a-z_]*\$", line):
            if quote is None:
                quote = tag
            elif quote == tag:
                quote = None
        if quote is None and line.rstrip().endswith(";") and not line.lstrip().startswith("--"):
            statements.append("\n".join(lines).strip())
            lines = []
    rest = "\n".join(lines).strip()
    if any(line.strip() and not line.lstrip().startswith("--") for line in rest.splitlines()):
        statements.append(rest)
    return statements


@dataclass(frozen=True)
class SqlObject:
    """One rendered file. kind is its folder: staging, models, functions, capture…"""

    name: str
    domain: str
    kind: str
    sql: str


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def quoted_literal(text: str) -> str:
    """A string for a statement that somebody is to type."""
    return "'" + text.replace("'", "''") + "'"


def load_objects(
    domain: str, source_schema: str, types: Mapping[str, Mapping[str, str]], constants: Mapping[str, object]
) -> list[SqlObject]:
    """The SQL files of one domain, rendered for a database.

    Args:
        types: per source table the columns that are there, and their types as SQL names them.
        constants: settings that are written into functions.
    """

    def optional(table: str, column: str, present: str, absent: str) -> str:
        return present if column in types.get(table, {}) else absent

    def regclass(table: str) -> str:
        return "'" + f"{quoted(source_schema)}.{quoted(table)}".replace("'", "''") + "'"

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    context = {
        "source": quoted(source_schema),
        "optional": optional,
        "regclass": regclass,
        "type": lambda table, column: types[table].get(column, "text"),
        **constants,
    }
    objects = []
    for path in _sql_files(SQL_ROOT.joinpath(domain)):
        kind = path.parent.name if path.parent.name != domain else "domain"
        if kind == "rights":
            continue  # they make nothing that stays: orchestration/rights.py runs them
        rendered = environment.from_string(path.read_text(encoding="utf-8")).render(context)
        objects.append(SqlObject(path.stem, domain, kind, rendered))
    return objects


def sql_file_names(domain: str, kind: str) -> list[str]:
    """The names (without ending) of the SQL files in one folder of a domain, sorted; empty where there is none."""
    return [path.stem for path in _sql_files(SQL_ROOT.joinpath(domain, kind))]


def _sql_files(folder: Traversable) -> list[Path]:
    return sorted(Path(str(folder)).rglob("*.sql"))


def in_dependency_order(objects: Sequence[SqlObject]) -> list[SqlObject]:
    """Sorts objects so that each comes after those it names as `headrace.<name>`; otherwise by domain and name."""
    by_name = {item.name: item for item in objects}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in sorted(by_name):
        code = re.sub(r"^\s*--.*$", "", by_name[name].sql, flags=re.MULTILINE)
        mentioned = set(re.findall(r"headrace\.([a-z_]+)", code)) & by_name.keys() - {name}
        sorter.add(name, *sorted(mentioned))
    return [by_name[name] for name in sorter.static_order()]
