"""What bears the names of the application's tables, as the catalog has it: kind, columns, and what stands above and below.

Here: reading. Not here: what is needed of it, and what is said where it does not fit (contract.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.install.indexes import FoundIndex, read_indexes

_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True)
class FoundColumn:
    """A column.

    Attributes:
        type: as format_type() names it, without length.
        declared: the same with its length.
        over: the type that a domain is over; None for other types.
        collation: as SQL names it; None where the type has none.
        deterministic: false where the collation takes different texts for equal.
        virtual: what it is generated from each time it is read; None where it is stored.
    """

    type: str
    declared: str = ""
    over: str | None = None
    collation: str | None = None
    deterministic: bool = True
    virtual: str | None = None


@dataclass(frozen=True)
class FoundTable:
    """What bears a table's name; other relations as SQL names them.

    Attributes:
        kind: None for a table, or else what it is.
        hidden_by: a policy that hides rows from headrace_owner.
        partition_of, inherits: the relations above it.
        children: the relations that inherit from it and are no partitions.
        foreign: partitions that lie on another server. unlogged: it, or partitions, without a log.
    """

    details: Mapping[str, FoundColumn]
    indexes: tuple[FoundIndex, ...] = ()
    hidden_by: str | None = None
    partitioned: bool = False
    kind: str | None = None
    partition_of: str | None = None
    inherits: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    unlogged: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, str]:
        """The columns' types, without length."""
        return {name: column.type for name, column in self.details.items()}


# Not by pg_partition_tree, which locks each partition and waits for who alters one.
_RELATIONS = sa.text("""
    WITH RECURSIVE named AS (
        SELECT k.oid, k.relkind, k.relpersistence, k.relispartition, format('%I.%I', n.nspname, k.relname) AS name
        FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE k.relkind IN ('r', 'p', 'f')
    ), asked AS (
        SELECT c.oid, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = ANY (:names)
    ), part AS (
        SELECT c.oid AS root, c.oid FROM asked c
        UNION ALL
        SELECT p.root, i.inhrelid FROM part p JOIN pg_inherits i ON i.inhparent = p.oid JOIN named k ON k.oid = i.inhrelid
        WHERE k.relispartition
    )
    SELECT
        c.relname, c.relkind::text,
        (SELECT p.name FROM pg_inherits i JOIN named p ON p.oid = i.inhparent JOIN named k ON k.oid = i.inhrelid
            WHERE i.inhrelid = c.oid AND k.relispartition),
        ARRAY(SELECT p.name FROM pg_inherits i JOIN named p ON p.oid = i.inhparent JOIN named k ON k.oid = i.inhrelid
            WHERE i.inhrelid = c.oid AND NOT k.relispartition ORDER BY 1),
        ARRAY(SELECT k.name FROM pg_inherits i JOIN named k ON k.oid = i.inhrelid
            WHERE i.inhparent = c.oid AND NOT k.relispartition ORDER BY 1),
        ARRAY(SELECT k.name FROM part p JOIN named k ON k.oid = p.oid
            WHERE p.root = c.oid AND k.relkind = 'f' AND k.oid <> c.oid ORDER BY 1),
        ARRAY(SELECT k.name FROM part p JOIN named k ON k.oid = p.oid
            WHERE p.root = c.oid AND k.relpersistence = 'u' AND k.relkind = 'r' ORDER BY 1)
    FROM asked c
""")
_COLUMNS = sa.text("""
    SELECT
        c.relname, a.attname, format_type(a.atttypid, NULL), format_type(a.atttypid, a.atttypmod),
        CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, NULL) END,
        quote_ident(ln.nspname) || '.' || quote_ident(l.collname), coalesce(l.collisdeterministic, true),
        CASE WHEN a.attgenerated = 'v' THEN pg_get_expr(d.adbin, d.adrelid) END
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = ANY (:names)
    ORDER BY 1, a.attnum
""")


def read_relations(connection: sa.Connection, schema: str, names: list[str]) -> dict[str, FoundTable]:
    """What bears these names in the schema, but for policies."""
    parameters = {"schema": schema, "names": names}
    columns: dict[str, dict[str, FoundColumn]] = {}
    for table, column, *details in connection.execute(_COLUMNS, parameters):
        columns.setdefault(table, {})[column] = FoundColumn(*details)
    indexes = read_indexes(connection, schema, names)
    return {
        name: FoundTable(
            columns.get(name, {}),
            indexes.get(name, ()),
            partitioned=kind == "p",
            kind=_KINDS.get(kind),
            partition_of=above,
            inherits=tuple(parents),
            children=tuple(children),
            foreign=tuple(foreign),
            unlogged=tuple(unlogged),
        )
        for name, kind, above, parents, children, foreign, unlogged in connection.execute(
            _RELATIONS, parameters
        )
    }
