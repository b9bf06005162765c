"""The relations under the names of the application's tables, from the catalog: kind, columns, and what is above and below.

Here: reading them. Not here: what is needed of them, and the sentences if they do not fit (contract.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.database.statements import statement
from orchestration.install.indexes import FoundIndex, read_indexes

_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True)
class FoundColumn:
    """A column.

    Attributes:
        type: as format_type() names it, without length.
        declared: the same with its length.
        over: the base type of a domain; None for other types.
        collation: as SQL names it; None where the type has none.
        deterministic: false if the collation treats different texts as equal.
        virtual: the expression it is generated from at each read; None if it is stored.
    """

    type: str
    declared: str = ""
    over: str | None = None
    collation: str | None = None
    deterministic: bool = True
    virtual: str | None = None


@dataclass(frozen=True)
class FoundTable:
    """The relation under a table's name; other relations as SQL names them.

    Attributes:
        kind: None for a table, otherwise what it is.
        hidden_by: a policy that hides rows from headrace_owner.
        partition_of, inherits: the relations above it.
        children: relations that inherit from it and are not partitions.
        foreign: partitions on another server. unlogged: the table or partitions, if unlogged.
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


def read_relations(connection: sa.Connection, schema: str, names: list[str]) -> dict[str, FoundTable]:
    """The relations under these names in the schema, without their policies."""
    parameters = {"schema": schema, "names": names}
    columns: dict[str, dict[str, FoundColumn]] = {}
    for table, column, *details in connection.exec_driver_sql(statement("install", "columns"), parameters):
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
        for name, kind, above, parents, children, foreign, unlogged in connection.exec_driver_sql(
            statement("install", "relations"), parameters
        )
    }
