"""Capture faults in words: what is wrong with the triggers on the application's tables, or with the tables, and the remedy.

The database finds them in its catalog (headrace.capture_faults, headrace.source_problems) before the next write does.
`migrate --check`, `doctor` and Dagster's check show these sentences. Not here: making the triggers (headrace.capture_table).
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
    """One fault, as the database reports it.

    Attributes:
        source: the captured table, as the contract names it.
        kind: `fault` as reported there: not noted, bare, missing, disabled, not always, differs, function; or, if it is about
            the table itself, gone, replaced, no column, type.
        missed: whether changes may have gone unseen, so that everything that depends on the source must be recounted.
        table: the relation with the fault, perhaps a partition; with its schema unless that is the source schema.
        operation: insert, update, delete or truncate; None: all.
        found: which other relation has the triggers, or the current name of the table or column.
        column: the column, as the contract names it.
        what, remedy: the sentences, if the database provides them.
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
    """Whether the installed version is new enough to find faults itself."""
    found = connection.exec_driver_sql(
        "SELECT pg_catalog.to_regprocedure('headrace.source_problems(text[])')"
    ).scalar()
    return found is not None


def read_faults(connection: sa.Connection, sources: Sequence[str]) -> list[Fault]:
    """The current faults of these sources; reads only the catalog."""
    return [Fault(*row) for row in connection.exec_driver_sql(_FAULTS, {"sources": list(sources)})]


def renames(faults: Sequence[Fault]) -> dict[tuple[str, str | None], Problem]:
    """Tables (source, None) and columns (source, column) that were merely renamed, in sentences."""
    return {
        (fault.source, fault.column): _problem(fault)
        for fault in faults
        if fault.kind in ("gone", "no column") and fault.found
    }


def problems(faults: Sequence[Fault]) -> list[Problem]:
    """The faults in sentences, each with its remedy; faults with one cause share a sentence."""
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
