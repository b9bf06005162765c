"""Indexes that the contract needs, and whether an existing one serves: judged by its catalog entries, never by its text.

An index serves if the server uses it for Headrace's own statements; tests/install/test_indexes.py asks the server. Not here:
which indexes are needed (dbt_like_sql/sources.yml), and the sentences about missing ones (contract.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.database.statements import statement

# pg_index.indoption of ASC NULLS LAST, and of DESC NULLS FIRST, which is the same order read from the other end.
_ORDERS = ({0}, {3})
# A literal, which is kept, or text without meaning, which is dropped.
_NOTHING = re.compile(r"('(?:[^']|'')*')|::(?:text|character varying)(?![\w(])|[\s()]")


@dataclass(frozen=True)
class Index:
    """A needed index.

    Attributes:
        columns: columns, or expressions as the server spells them.
        where: the rows it must cover, as the server spells the condition; None: all.
        equal: how many leading columns are only compared for equality; the others are also sorted by.
        unique: whether it must guarantee that the columns are unique.
    """

    columns: tuple[str, ...]
    where: str | None = None
    equal: int = 1
    unique: bool = False


@dataclass(frozen=True)
class FoundKey:
    """A key of an index.

    Attributes:
        column: the column's exact name; None if the key is an expression.
        expression: the key as the server spells it.
        sorts: whether it sorts by the default rules of the column's type.
        equals: whether it finds equal values by those rules; true if `sorts` is.
        own_collation: whether it has the collation of its column.
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
    """A valid index of a table. Deferred uniqueness counts too: readers of committed rows never see it violated."""

    keys: tuple[FoundKey, ...]
    where: str | None = None
    method: str = "btree"
    unique: bool = False


def serves(found: FoundIndex, needed: Index) -> bool:
    """Whether the server uses this index for the purpose of the needed one."""
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
    """Whether an index with this condition contains all rows looked for: each part of it must follow from the statement."""
    if where is None:
        return True
    # A value that equals something is not null.
    follows = {f"{column}ISNOTNULL" for column in needed.columns[: needed.equal]}
    follows |= set() if needed.where is None else {_bare(needed.where)}
    return all(_bare(part) in follows for part in where.split(") AND ("))


def _bare(condition: str) -> str:
    """A condition as the server spells it, without parentheses and blanks, and without casts that change no text."""
    return _NOTHING.sub(lambda found: found[1] or "", condition)


def read_indexes(
    connection: sa.Connection, schema: str, names: list[str]
) -> Mapping[str, tuple[FoundIndex, ...]]:
    """The indexes of these tables that the server maintains and uses; of a partitioned table, those that all partitions have."""
    found: dict[str, dict[int, FoundIndex]] = {}
    rows = connection.exec_driver_sql(statement("install", "indexes"), {"schema": schema, "names": names})
    for table, index, method, unique, where, *key in rows:
        indexes = found.setdefault(table, {})
        before = indexes[index].keys if index in indexes else ()
        indexes[index] = FoundIndex((*before, FoundKey(*key)), where, method, unique)
    return {table: tuple(indexes.values()) for table, indexes in found.items()}
