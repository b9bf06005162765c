"""Indexes that the contract asks for, and whether one that is there serves them: what the catalog says of it, never its text.

An index serves where the server uses it for Headrace's own statements; tests/install/test_indexes.py asks the server. Not here:
which indexes are needed (dbt_like_sql/sources.yml), and what is said of missing ones (contract.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

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


_INDEXES = sa.text("""
    SELECT
        c.relname, i.indexrelid, m.amname, i.indisunique, pg_get_expr(i.indpred, i.indrelid),
        a.attname, pg_get_indexdef(i.indexrelid, k.n::integer, false),
        coalesce(o.opcfamily = d.opcfamily, false),
        coalesce(o.opcfamily = d.opcfamily, false) OR f.opfname = 'text_pattern_ops' AND f.opfnamespace = 'pg_catalog'::regnamespace,
        k.rule = coalesce(a.attcollation, k.rule), coalesce(k.option, 0)
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_am m ON m.oid = x.relam
    CROSS JOIN LATERAL ROWS FROM (
        unnest(i.indkey::int2[]), unnest(i.indclass::oid[]), unnest(i.indcollation::oid[]), unnest(i.indoption::int2[])
    ) WITH ORDINALITY AS k (attnum, opclass, rule, option, n)
    JOIN pg_opclass o ON o.oid = k.opclass
    JOIN pg_opfamily f ON f.oid = o.opcfamily
    LEFT JOIN pg_opclass d ON d.opcmethod = o.opcmethod AND d.opcintype = o.opcintype AND d.opcdefault
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
    WHERE n.nspname = :schema AND c.relname = ANY (:names) AND i.indisvalid AND i.indisready AND i.indislive AND k.n <= i.indnkeyatts
    ORDER BY 1, 2, k.n
""")


def read_indexes(
    connection: sa.Connection, schema: str, names: list[str]
) -> Mapping[str, tuple[FoundIndex, ...]]:
    """The indexes of these tables that the server keeps and uses; of a partitioned table those that all partitions have."""
    found: dict[str, dict[int, FoundIndex]] = {}
    rows = connection.execute(_INDEXES, {"schema": schema, "names": names})
    for table, index, method, unique, where, *key in rows:
        indexes = found.setdefault(table, {})
        before = indexes[index].keys if index in indexes else ()
        indexes[index] = FoundIndex((*before, FoundKey(*key)), where, method, unique)
    return {table: tuple(indexes.values()) for table, indexes in found.items()}
