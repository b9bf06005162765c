"""The contract with the application's schema (dbt_like_sql/sources.yml), and the pure comparison of a catalog with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
import yaml

from orchestration.database.sql_files import SQL_ROOT, YAML_LOADER, quoted, sql_file_names
from orchestration.database.statements import statement
from orchestration.errors import HeadraceError, Problem
from orchestration.install.indexes import Index, serves
from orchestration.install.relations import FoundColumn, FoundTable, read_relations

OLDEST_SERVER = 15
_MOST_NAMED = 5

_DEFAULT_COLLATION = 'pg_catalog."default"'

_TEXT = ("text", "character varying")
# What the contract's types accept, as format_type() names it without length.
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
    compared: bool = True  # otherwise only shown


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    advised: tuple[Index, ...] = ()  # may be missing; something is slower then
    inserted_by: str | None = None  # our function that inserts into it


@dataclass(frozen=True)
class Domain:
    name: str
    activated_by: tuple[str, ...]
    tables: tuple[Table, ...]
    alike: tuple[tuple[tuple[str, str], ...], ...] = ()  # (table, column): compared with each other
    locked_first: tuple[str, ...] = ()  # our tables that its transactions lock before others


Catalog = Mapping[str, FoundTable]


@cache
def read_contract() -> Mapping[str, Domain]:
    """The domains of sources.yml by name, in its order."""
    document = yaml.load(SQL_ROOT.joinpath("sources.yml").read_text(encoding="utf-8"), Loader=YAML_LOADER)
    return MappingProxyType({name: _domain(name, body) for name, body in document.items()})


def _domain(name: str, body: Mapping[str, Any]) -> Domain:
    tables = []
    for table, spec in body["tables"].items():
        columns = tuple(
            Column(c, d["type"], d.get("optional", False), d.get("compared", True))
            for c, d in spec["columns"].items()
        )
        indexes = [Index((unique,), unique=True) for unique in spec.get("unique", [])]
        indexes += [_index(index) for index in spec.get("indexes", [])]
        advised = tuple(_index(index) for index in spec.get("advised", []))
        tables.append(Table(table, columns, tuple(indexes), advised, spec.get("inserted_by")))
    alike = tuple(
        tuple((table, column) for table, column in (place.split(".") for place in group))
        for group in body.get("alike", [])
    )
    return Domain(
        name, tuple(body["activated_by"]), tuple(tables), alike, tuple(body.get("locked_first", []))
    )


def _index(spec: Mapping[str, Any] | list[str]) -> Index:
    if isinstance(spec, list):
        return Index(tuple(spec), equal=len(spec))
    columns = tuple(spec["columns"])
    return Index(columns, spec.get("where"), spec.get("equal", len(columns)))


def captured_sources(domains: Iterable[Domain]) -> list[str]:
    """The tables that the domains capture, each once, in the domains' order."""
    return list(
        dict.fromkeys(source for domain in domains for source in sql_file_names(domain.name, "capture"))
    )


def inserting_functions() -> list[str]:
    """The functions, of all domains, that insert into the application's tables."""
    tables = (table for domain in read_contract().values() for table in domain.tables)
    return sorted({table.inserted_by for table in tables if table.inserted_by})


def active_domains(
    contract: Mapping[str, Domain],
    catalog: Catalog,
    asked: Iterable[str] | None,
    installed: Iterable[str] = (),
) -> list[Domain]:
    """The domains asked for; or else those with an activating table that exists, and those that are installed already.

    Raises:
        HeadraceError: an unknown domain was asked for.
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
    """Compares the catalog with what the active domains need: every difference, as a sentence with its remedy.

    Args:
        known: what became of missing tables and columns, where that is known; reported instead.
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
            if found.kind is not None:
                problems.append(_kind_problem(table.name, source_schema, found.kind))
                continue
            problems += _family_problems(table.name, place, found)
            columns_fit = True
            for column in table.columns:
                problem = _column_problem(table.name, place, column, found.details.get(column.name))
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
                # A partitioned table can have no such unique index, unless it is partitioned by the id.
                needed = replace(index, unique=index.unique and not found.partitioned)
                if not any(serves(candidate, needed) for candidate in found.indexes):
                    what = f"table {table.name} lacks {'a unique' if needed.unique else 'an'} index"
                    problems.append(_index_problem(what, place, found, needed))
            if found.hidden_by:
                problems.append(
                    Problem(
                        f"the restrictive policy {found.hidden_by} hides rows of {table.name} from role headrace_owner, which counts them",
                        "ALTER ROLE headrace_owner BYPASSRLS;  -- by a superuser; or name the roles that the policy is for: "
                        f"ALTER POLICY {quoted(found.hidden_by)} ON {place} TO …",
                    )
                )
        problems += _collation_problems(domain, catalog, source_schema)
    return list(dict.fromkeys(problems))  # once, even if two domains read the table


def advise(domains: Iterable[Domain], catalog: Catalog, source_schema: str) -> list[Problem]:
    """Advice on what a database can do without: indexes on tables that have the columns for them, and logged tables."""
    problems: list[Problem] = []
    for domain in domains:
        for table in domain.tables:
            found = catalog.get(table.name)
            if found is None:
                continue
            if found.unlogged:
                problems.append(
                    Problem(
                        f"unlogged, and so emptied by a crash of the server without any trigger: {_named(found.unlogged)}",
                        " ".join(f"ALTER TABLE {name} SET LOGGED;" for name in found.unlogged),
                    )
                )
            for index in table.advised:
                complete = set(index.columns) <= set(found.columns)
                if complete and not any(serves(candidate, index) for candidate in found.indexes):
                    place = f"{quoted(source_schema)}.{quoted(table.name)}"
                    what = f"lists and ranges of {table.name} read the whole table without an index"
                    problems.append(_index_problem(what, place, found, index))
    return list(dict.fromkeys(problems))


def _index_problem(what: str, place: str, found: FoundTable, index: Index) -> Problem:
    keys = ", ".join(index.columns)
    where = f" WHERE {index.where}" if index.where else ""
    how = "" if found.partitioned else " CONCURRENTLY"  # the server refuses it there
    return Problem(
        f"{what} on ({keys}); see dbt_like_sql/sources.yml",
        f"CREATE {'UNIQUE ' if index.unique else ''}INDEX{how} ON {place} ({keys}){where};",
    )


def _kind_problem(table: str, source_schema: str, kind: str) -> Problem:
    if kind == "a foreign table":
        return Problem(
            f"{table} in schema {source_schema} is a foreign table: no trigger sees what its own server changes",
            f"install Headrace in the database that has table {table}",
        )
    return Problem(
        f"{table} in schema {source_schema} is {kind}, but must be a table: triggers see no change of a view's rows",
        f"set HEADRACE_SOURCE_SCHEMA to the schema that has table {table}, or give the table behind it that name",
    )


def _family_problems(table: str, place: str, found: FoundTable) -> list[Problem]:
    """Relations above and below a table: rows written or read under their names bypass the triggers."""
    problems = []
    if found.partition_of is not None:
        problems.append(
            Problem(
                f"table {table} is a partition of {found.partition_of}: rows that are written by that name are not seen",
                f"ALTER TABLE {found.partition_of} DETACH PARTITION {place}; -- or give its name to the whole table",
            )
        )
    for parent in found.inherits:
        problems.append(
            Problem(
                f"table {table} inherits from {parent}: rows that are changed by that name are not seen",
                f"ALTER TABLE {place} NO INHERIT {parent};",
            )
        )
    if found.children:
        problems.append(
            Problem(
                f"rows of {_named(found.children)} are read as those of table {table}, from which it inherits, "
                "but their changes are not seen",
                " ".join(f"ALTER TABLE {child} NO INHERIT {place};" for child in found.children),
            )
        )
    if found.foreign:
        problems.append(
            Problem(
                f"table {table} has partitions on another server, whose own changes are not seen: {_named(found.foreign)}",
                " ".join(f"ALTER TABLE {place} DETACH PARTITION {part};" for part in found.foreign),
            )
        )
    return problems


def _named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _is_there(key: str, table: Table, present: set[str]) -> bool:
    """Whether an index's key can be indexed: an optional column may be absent."""
    optional = {column.name for column in table.columns if column.optional}
    return key not in optional or key in present


def _column_problem(table: str, place: str, column: Column, found: FoundColumn | None) -> Problem | None:
    name = quoted(column.name)
    if found is None:
        if column.optional:
            return None
        declared = _DECLARED[column.type]
        return Problem(
            f"table {table} lacks column {column.name} ({declared}); see dbt_like_sql/sources.yml",
            f"ALTER TABLE {place} ADD COLUMN {name} {declared};",
        )
    if found.virtual is not None:
        return Problem(
            f"column {column.name} of table {table} is generated and virtual: no trigger sees it change; it must be stored",
            f"ALTER TABLE {place} DROP COLUMN {name}, ADD COLUMN {name} {found.declared} "
            f"GENERATED ALWAYS AS ({found.virtual}) STORED;",
        )
    if found.type in ACCEPTED[column.type]:
        return None
    whole_number = found.type in ("smallint", "integer", "bigint")
    declared = "bigint" if column.type == "id" and whole_number else _DECLARED[column.type]
    kind = f"the domain {found.type} over {found.over}" if found.over else found.type
    what = (
        f"column {column.name} of table {table} is {kind}, but must be {' or '.join(ACCEPTED[column.type])}; "
        "see dbt_like_sql/sources.yml"
    )
    if declared == "uuid" and whole_number:
        return Problem(
            what, f"give the rows of {table} a uuid as {column.name}: {found.type} does not convert to one"
        )
    how = (
        f"{name} AT TIME ZONE 'UTC'" if found.type == "timestamp without time zone" else f"{name}::{declared}"
    )
    return Problem(what, f"ALTER TABLE {place} ALTER COLUMN {name} TYPE {declared} USING {how};")


def _collation_problems(domain: Domain, catalog: Catalog, source_schema: str) -> list[Problem]:
    """Columns that are compared must share a deterministic collation: two collations cannot be compared, and no index serves both."""
    alone = [((table.name, c.name),) for table in domain.tables for c in table.columns if c.compared]
    grouped = {place for group in domain.alike for place in group}
    problems = []
    for group in (*domain.alike, *(places for places in alone if places[0] not in grouped)):
        found = {
            (table, column): catalog[table].details[column]
            for table, column in group
            if table in catalog and column in catalog[table].details
        }
        texts = {place: column for place, column in found.items() if column.type in _TEXT}
        certain = [column.collation for column in texts.values() if column.deterministic]
        common = max(certain, key=certain.count) if certain else _DEFAULT_COLLATION
        for (table, column), is_now in texts.items():
            if is_now.collation == common:
                continue
            others = [f"{t}.{c}" for t, c in texts if texts[t, c].collation == common]
            why = (
                f"differs from that of {', '.join(others)}, which it is compared with"
                if is_now.deterministic
                else "takes different texts for equal"
            )
            problems.append(
                Problem(
                    f"the collation {is_now.collation} of column {column} of table {table} {why}; see dbt_like_sql/sources.yml",
                    f"ALTER TABLE {quoted(source_schema)}.{quoted(table)} ALTER COLUMN {quoted(column)} "
                    f"TYPE {is_now.declared} COLLATE {common}; -- builds its indexes anew; nobody reads or writes meanwhile",
                )
            )
    return problems


def read_catalog(connection: sa.Connection, source_schema: str) -> dict[str, FoundTable]:
    """What the source schema has under the contract's names: columns, valid indexes, a policy that hides rows from headrace_owner."""
    hidden = {
        row[0]: row[1]
        for row in connection.exec_driver_sql(
            statement("install", "hiding_policies"), {"schema": source_schema}
        )
    }
    names = [table.name for domain in read_contract().values() for table in domain.tables]
    return {
        table: replace(found, hidden_by=hidden.get(table))
        for table, found in read_relations(connection, source_schema, names).items()
    }
