"""Faults of capture in words: what is wrong with the triggers on the application's tables, or with the tables, and what mends it.

The database finds them in its catalog (headrace.capture_faults, headrace.source_problems), before the next write does.
`migrate --check`, `doctor` and Dagster's check say the sentences made here. Not here: making the triggers (headrace.capture_table).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.database.statements import statement
from orchestration.errors import Problem

_MIGRATE = "headrace migrate"
_FAULTS = statement("engine", "faults_of_capture")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, as the database has it.

    Attributes:
        source: the captured table, by the name of the contract.
        kind: `fault` there: not noted, bare, missing, disabled, not always, differs, function; or, of the table itself, gone,
            replaced, no column, type.
        missed: whether changes may have gone unseen, so that everything that depends on the source is to be counted again.
        table: the relation it is found on, a partition perhaps; with its schema unless that is the source schema.
        operation: insert, update, delete or truncate; None: all.
        found: which other relation bears the triggers, or what the table or column is called now.
        column: which one, by its name in the contract.
        what, remedy: the sentence, where the database has it.
    """

    source: str
    kind: str
    missed: bool
    table: str
    operation: str | None = None
    found: str | None = None
    column: str | None = None
    what: str | None = None
    remedy: str | None = None


def can_look(connection: sa.Connection) -> bool:
    """Whether what is installed is new enough to find faults by itself."""
    found = connection.exec_driver_sql(
        "SELECT pg_catalog.to_regprocedure('headrace.source_problems(text[])')"
    ).scalar()
    return found is not None


def read_faults(connection: sa.Connection, sources: Sequence[str]) -> list[Fault]:
    """The faults of these sources as of now; reads the catalog only."""
    return [Fault(*row) for row in connection.exec_driver_sql(_FAULTS, {"sources": list(sources)})]


def renames(faults: Sequence[Fault]) -> dict[tuple[str, str | None], Problem]:
    """Tables (source, None) and columns (source, column) that only have another name now, in sentences."""
    return {
        (fault.source, fault.column): _problem(fault)
        for fault in faults
        if fault.kind in ("gone", "no column") and fault.found
    }


def problems(faults: Sequence[Fault]) -> list[Problem]:
    """The faults in sentences, each with what mends it; one for what has one cause."""
    return list(dict.fromkeys(map(_problem, faults)))


def _problem(fault: Fault) -> Problem:
    if fault.what is not None and fault.remedy is not None:
        return Problem(fault.what, fault.remedy)
    partition = fault.table.split(".")[-1] != fault.source
    on = f"table {fault.table}" + (f" (a partition of {fault.source})" if partition else "")
    trigger = f"capture trigger for {fault.operation}"
    match fault.kind:
        case "not noted":
            what = f"capture of table {fault.source} was installed by an older version, or not at all"
        case "bare":
            was = (
                f"it was replaced, the triggers are on {fault.found}"
                if fault.found
                else "it was made anew, or they were dropped"
            )
            what = f"{on} has no capture triggers ({was}): its changes are not seen"
        case "missing" | "disabled":
            what = f"{trigger} is {fault.kind} on {on}: such changes are not seen"
        case "not always":
            what = f"{trigger} is not ENABLE ALWAYS on {on}: changes that replication applies are not seen"
        case "function":
            what = (
                f"function headrace.capture_{fault.source}_{fault.operation} is not as migrate made it: "
                f"what it logs of table {fault.source} cannot be relied on"
            )
        case _:
            what = f"{trigger} on {on} is not as migrate makes it: changes may not be seen"
    return Problem(what, _MIGRATE)
