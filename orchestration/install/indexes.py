"""Indexes that the contract asks for, and whether one that is there serves them: what the catalog says of it, never its text.

An index serves where the server uses it for Headrace's own statements; tests/install/test_indexes.py asks the server. Not here:
which indexes are needed (dbt_like_sql/sources.yml), and what is said of missing ones (contract.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.database.statements import statement

# What pg_index.indoption says of ASC NULLS LAST and of DESC NULLS FIRST, which is the same read from the other end.
_ORDERS = ({0}, {3})
# A literal, which stays, or what says nothing.
_NOTHING = re.compile(r"('(?:[^']|'')*')|::(?:text|character varying)(?![\w(])|[\s()]")


@dataclass(frozen=True)
class Index:
    """An index that is needed.

    Attributes:
        columns: columns, or expressions as the server spells them.
        where: rows that are enough, as the server spells it; None: all.
        equal: so many leading columns are only compared for equality; those behind are also sorted by.
        unique: it is to make sure that the columns tell rows apart.
    """

    columns: tuple[str, ...]
    where: str | None = None
    equal: int = 1
    unique: bool = False


@dataclass(frozen=True)
class FoundKey:
    """A key of an index.

    Attributes:
        column: the column, by its very name; None where the key is an expression.
        expression: the key as the server spells it.
        sorts: it is sorted by the default rules of the column's type.
        equals: it finds what is equal by those rules; true where `sorts` is.
        own_collation: it has the collation of its column.
        option: pg_index.indoption.
    """

    column: str | None
    expression: str
    sorts: bool = True
    equals: bool = True
    own_collation: bool = True
    option: int = 0


@dataclass(frozen=True)
class FoundIndex:
    """A valid index of a table; deferred uniqueness counts too, for whoever reads committed rows never sees it broken."""

    keys: tuple[FoundKey, ...]
    where: str | None = None
    method: str = "btree"
    unique: bool = False


def serves(found: FoundIndex, needed: Index) -> bool:
    """Whether the server uses the index for what the needed one is for."""
    count = len(needed.columns)
    if needed.unique and not (found.unique and len(found.keys) == count and found.where is None):
        return False
    if found.method != "btree" and not (found.method == "hash" and len(found.keys) == count == 1):
        return False
    if len(found.keys) < count:
        return False
    keys = found.keys[:count]
    for place, (key, name) in enumerate(zip(keys, needed.columns, strict=True)):
        if key.column != name and not (key.column is None and key.expression == name):
            return False
        if not key.own_collation or not (key.equals if place < needed.equal else key.sorts):
            return False
    order = {key.option for key in keys[needed.equal :]}
    return (not order or order in _ORDERS) and _covers(found.where, needed)


def _covers(where: str | None, needed: Index) -> bool:
    """Whether an index for these rows has all that are looked for: every part of its condition follows from the statement."""
    if where is None:
        return True
    # What is equal to something is not null.
    follows = {f"{column}ISNOTNULL" for column in needed.columns[: needed.equal]}
    follows |= set() if needed.where is None else {_bare(needed.where)}
    return all(_bare(part) in follows for part in where.split(") AND ("))


def _bare(condition: str) -> str:
    """A condition as the server spells it, without parentheses and blanks, and without casts that change no text."""
    return _NOTHING.sub(lambda found: found[1] or "", condition)


def read_indexes(
    connection: sa.Connection, schema: str, names: list[str]
) -> Mapping[str, tuple[FoundIndex, ...]]:
    """The indexes of these tables that the server keeps and uses; of a partitioned table those that all partitions have."""
    found: dict[str, dict[int, FoundIndex]] = {}
    rows = connection.exec_driver_sql(statement("install", "indexes"), {"schema": schema, "names": names})
    for table, index, method, unique, where, *key in rows:
        indexes = found.setdefault(table, {})
        before = indexes[index].keys if index in indexes else ()
        indexes[index] = FoundIndex((*before, FoundKey(*key)), where, method, unique)
    return {table: tuple(indexes.values()) for table, indexes in found.items()}
