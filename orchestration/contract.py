"""The contract with the application's schema (dbt_like_sql/sources.yml), and the pure comparison of a catalog with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import yaml

from orchestration.database import SQL_ROOT, quoted
from orchestration.errors import HeadraceError

OLDEST_SERVER = 15

_TEXT = ("text", "character varying")
# What the contract's types accept, as format_type() names them without length.
ACCEPTED: Mapping[str, tuple[str, ...]] = {
    "text": _TEXT,
    "id": ("uuid", "bigint", *_TEXT),
    "uuid": ("uuid",),
    "bigint": ("bigint",),
    "timestamptz": ("timestamp with time zone",),
    "jsonb": ("jsonb", "json"),
}
_DECLARED = {
    "id": "uuid",
    "text": "text",
    "uuid": "uuid",
    "timestamptz": "timestamptz",
    "jsonb": "jsonb",
    "bigint": "bigint",
}


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    optional: bool = False


@dataclass(frozen=True)
class Index:
    columns: tuple[str, ...]
    where: str | None = None


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    advised: tuple[Index, ...] = ()  # may be missing: something is slower then


@dataclass(frozen=True)
class Domain:
    name: str
    activated_by: tuple[str, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Problem:
    """Something wrong: what it is, in a sentence, and the statement or command that mends it."""

    what: str
    remedy: str


@dataclass(frozen=True)
class FoundIndex:
    columns: tuple[str, ...]
    where: str | None
    method: str


@dataclass(frozen=True)
class FoundTable:
    """A table as it is: columns with their types (without length), valid indexes, whether rows are hidden by policies."""

    columns: Mapping[str, str]
    indexes: tuple[FoundIndex, ...] = ()
    hidden_by_policy: bool = False
    partitioned: bool = False


Catalog = Mapping[str, FoundTable]


def read_contract() -> dict[str, Domain]:
    document = yaml.safe_load(SQL_ROOT.joinpath("sources.yml").read_text(encoding="utf-8"))
    return {name: _domain(name, body) for name, body in document.items()}


def _domain(name: str, body: Mapping[str, Any]) -> Domain:
    tables = []
    for table, spec in body["tables"].items():
        columns = tuple(Column(c, d["type"], d.get("optional", False)) for c, d in spec["columns"].items())
        indexes = [Index((unique,)) for unique in spec.get("unique", [])]
        indexes += [_index(index) for index in spec.get("indexes", [])]
        advised = tuple(_index(index) for index in spec.get("advised", []))
        tables.append(Table(table, columns, tuple(indexes), advised))
    return Domain(name, tuple(body["activated_by"]), tuple(tables))


def _index(spec: Mapping[str, Any] | list[str]) -> Index:
    if isinstance(spec, Mapping):
        return Index(tuple(spec["columns"]), spec.get("where"))
    return Index(tuple(spec))


def active_domains(
    contract: Mapping[str, Domain],
    catalog: Catalog,
    asked: Iterable[str] | None,
    installed: Iterable[str] = (),
) -> list[Domain]:
    """Those asked for, or else those one of whose telling tables exists, and those that are installed already.

    Raises:
        HeadraceError: a domain was asked for that does not exist.
    """
    if asked is not None:
        names = list(asked)
        unknown = [name for name in names if name not in contract]
        if unknown:
            raise HeadraceError(
                f"HEADRACE_DOMAINS names {', '.join(unknown)}; there are: {', '.join(contract)}", exit_code=2
            )
        return [contract[name] for name in names]
    return [
        domain
        for domain in contract.values()
        if domain.name in set(installed) or any(table in catalog for table in domain.activated_by)
    ]


def check_contract(
    domains: Iterable[Domain],
    catalog: Catalog,
    source_schema: str,
    known: Mapping[tuple[str, str | None], Problem] | None = None,
) -> list[Problem]:
    """Compares what is there with what the active domains need: every difference, as a sentence with its remedy.

    Args:
        known: what became of tables and columns that are missing, where that is known; said instead.
    """
    known = known or {}
    problems: list[Problem] = []
    for domain in domains:
        for table in domain.tables:
            place = f"{quoted(source_schema)}.{quoted(table.name)}"
            found = catalog.get(table.name)
            if found is None and (table.name, None) in known:
                problems.append(known[table.name, None])
                continue
            if found is None:
                columns = ", ".join(
                    f"{quoted(c.name)} {_DECLARED[c.type]}" for c in table.columns if not c.optional
                )
                problems.append(
                    Problem(
                        f"table {table.name} is missing from schema {source_schema}; see dbt_like_sql/sources.yml",
                        f"CREATE TABLE {place} ({columns});",
                    )
                )
                continue
            columns_fit = True
            for column in table.columns:
                problem = _column_problem(table.name, place, column, found.columns.get(column.name))
                if problem is not None:
                    lacking = column.name not in found.columns
                    problems.append((lacking and known.get((table.name, column.name))) or problem)
                    columns_fit = False
            if not columns_fit:
                continue
            present = set(found.columns)
            for index in table.indexes:
                if not any(_is_there(c, table, present) for c in index.columns):
                    continue
                if not any(_serves(candidate, index) for candidate in found.indexes):
                    problems.append(_index_problem(f"table {table.name} lacks an index", place, found, index))
            if found.hidden_by_policy:
                problems.append(
                    Problem(
                        f"row-level security on {table.name} hides rows from the role that runs migrate",
                        f"run migrate as the owner of {table.name} (without FORCE ROW LEVEL SECURITY) or as a role with BYPASSRLS",
                    )
                )
    return problems


def advise(domains: Iterable[Domain], catalog: Catalog, source_schema: str) -> list[Problem]:
    """The advised indexes that are missing from tables that are there with all columns of the index."""
    problems: list[Problem] = []
    for domain in domains:
        for table in domain.tables:
            found = catalog.get(table.name)
            if found is None:
                continue
            for index in table.advised:
                complete = set(index.columns) <= set(found.columns)
                if complete and not any(_serves(candidate, index) for candidate in found.indexes):
                    place = f"{quoted(source_schema)}.{quoted(table.name)}"
                    what = f"lists and ranges of {table.name} read the whole table without an index"
                    problems.append(_index_problem(what, place, found, index))
    return problems


def _index_problem(what: str, place: str, found: FoundTable, index: Index) -> Problem:
    keys = ", ".join(index.columns)
    where = f" WHERE {index.where}" if index.where else ""
    how = "" if found.partitioned else " CONCURRENTLY"  # refused there by the server
    return Problem(
        f"{what} on ({keys}); see dbt_like_sql/sources.yml", f"CREATE INDEX{how} ON {place} ({keys}){where};"
    )


def _is_there(key: str, table: Table, present: set[str]) -> bool:
    """Whether an index's key is there to be indexed: a lone optional column may be absent."""
    optional = {column.name for column in table.columns if column.optional}
    return key not in optional or key in present


def _column_problem(table: str, place: str, column: Column, found: str | None) -> Problem | None:
    if found is None:
        if column.optional:
            return None
        declared = _DECLARED[column.type]
        return Problem(
            f"table {table} lacks column {column.name} ({declared}); see dbt_like_sql/sources.yml",
            f"ALTER TABLE {place} ADD COLUMN {quoted(column.name)} {declared};",
        )
    if found in ACCEPTED[column.type]:
        return None
    whole_number = found in ("smallint", "integer", "bigint")
    declared = "bigint" if column.type == "id" and whole_number else _DECLARED[column.type]
    what = (
        f"column {column.name} of table {table} is {found}, but must be {' or '.join(ACCEPTED[column.type])}; "
        "see dbt_like_sql/sources.yml"
    )
    if declared == "uuid" and whole_number:
        return Problem(
            what, f"give the rows of {table} a uuid as {column.name}: {found} does not convert to one"
        )
    how = (
        f"{quoted(column.name)} AT TIME ZONE 'UTC'"
        if found == "timestamp without time zone"
        else f"{quoted(column.name)}::{declared}"
    )
    return Problem(
        what, f"ALTER TABLE {place} ALTER COLUMN {quoted(column.name)} TYPE {declared} USING {how};"
    )


_CAST = r"::(?:timestamp with(?:out)? time zone|character varying|[a-z_]+)(?:\(\d+\))?"


def _normal(expression: str) -> str:
    """An index expression without what the server adds when it prints it: casts, parentheses, case, blanks, quotes."""
    return re.sub(_CAST + r"|[\s()\"]", "", expression.lower())


def _serves(found: FoundIndex, needed: Index) -> bool:
    if found.method != "btree" and not (found.method == "hash" and len(needed.columns) == 1):
        return False
    if tuple(map(_normal, found.columns[: len(needed.columns)])) != tuple(map(_normal, needed.columns)):
        return False
    return found.where is None or (needed.where is not None and _normal(found.where) == _normal(needed.where))


_COLUMNS = sa.text("""
    SELECT c.relname, c.relkind = 'p', a.attname, regexp_replace(format_type(a.atttypid, a.atttypmod), '\\(.*\\)', '') AS type
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') ORDER BY 1, a.attnum
""")
_INDEXES = sa.text("""
    SELECT c.relname, m.amname,
        ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnkeyatts) k) AS keys,
        pg_get_expr(i.indpred, i.indrelid) AS predicate
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    WHERE n.nspname = :schema AND i.indisvalid
""")
_POLICIES = sa.text("""
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_roles r ON r.rolname = current_user
    WHERE n.nspname = :schema AND c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
        AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
""")


def read_catalog(connection: sa.Connection, source_schema: str) -> dict[str, FoundTable]:
    """The tables of the source schema: columns, valid indexes, and whether policies hide rows from this role."""
    parameters = {"schema": source_schema}
    columns: dict[str, dict[str, str]] = {}
    partitioned: set[str] = set()
    for table, by_partition, column, kind in connection.execute(_COLUMNS, parameters):
        found = columns.setdefault(table, {})
        if column is not None:
            found[column] = kind
        if by_partition:
            partitioned.add(table)
    indexes: dict[str, list[FoundIndex]] = {}
    for table, method, keys, predicate in connection.execute(_INDEXES, parameters):
        indexes.setdefault(table, []).append(FoundIndex(tuple(keys), predicate, method))
    hidden = {row[0] for row in connection.execute(_POLICIES, parameters)}
    return {
        table: FoundTable(found, tuple(indexes.get(table, ())), table in hidden, table in partitioned)
        for table, found in columns.items()
    }
