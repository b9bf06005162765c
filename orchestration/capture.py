"""Faults of capture in words: what is wrong with the triggers on the application's tables, what follows, and what mends it.

The database finds them in its catalog (headrace.capture_faults), before the next write does. `migrate --check`, `doctor`
and Dagster's check say the sentences made here. Not here: making the triggers (headrace.capture_table).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.contract import Domain, Problem
from orchestration.database import quoted, sql_file_names

_MIGRATE = "headrace migrate"
_FOLLOWED = "capture and statistics follow it, but migrate needs the old name"
_FAULTS = sa.text("""
    SELECT f.source, f.fault, f.op, f.table_name, f.place, f.column_name, f.found, f.found_place
    FROM headrace.capture_faults(:sources) f
""")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, as headrace.capture_faults has it.

    Attributes:
        source: the captured table, by the name of the contract.
        kind: `fault` there: not noted, gone, bare, missing, disabled, not always, differs, function, unreadable, renamed,
            another column.
        operation: insert, update, delete or truncate; None: all.
        table: the relation it is found on, a partition perhaps; with its schema unless that is the source schema.
        place: the same, as SQL names it; where it is gone, as it was; None where that was never noted.
        column: which one, by its name in the contract.
        found: what that column is called now, or which other relation bears the triggers. found_place: as place.
    """

    source: str
    kind: str
    operation: str | None
    table: str
    place: str | None
    column: str | None = None
    found: str | None = None
    found_place: str | None = None


def captured_sources(domains: Iterable[Domain]) -> list[str]:
    """The tables that the domains capture, in the domains' order."""
    return [source for domain in domains for source in sql_file_names(domain.name, "capture")]


def can_look(connection: sa.Connection) -> bool:
    """Whether what is installed is new enough to find faults by itself."""
    found = connection.exec_driver_sql("SELECT to_regprocedure('headrace.capture_faults(text[])')").scalar()
    return found is not None


def read_faults(connection: sa.Connection, sources: Sequence[str]) -> list[Fault]:
    """The faults of these sources as of now; reads the catalog only."""
    return [Fault(*row) for row in connection.execute(_FAULTS, {"sources": list(sources)})]


def renames(faults: Sequence[Fault]) -> dict[tuple[str, str | None], Problem]:
    """Tables (source, None) and columns (source, column) that only have another name now, in sentences."""
    return {
        (fault.source, fault.column): _problem(fault, faults)
        for fault in faults
        if fault.kind in ("gone", "renamed") and fault.found
    }


def problems(faults: Sequence[Fault]) -> list[Problem]:
    """The faults in sentences, each with what mends it; one for what has one cause."""
    found: list[Problem] = []
    for fault in faults:
        problem = _problem(fault, faults)
        if problem not in found:
            found.append(problem)
    return found


def _problem(fault: Fault, faults: Sequence[Fault]) -> Problem:
    return _column(fault, faults) if fault.column else _table(fault)


def _table(fault: Fault) -> Problem:
    partition = fault.table.split(".")[-1] != fault.source
    on = f"table {fault.table}" + (f" (a partition of {fault.source})" if partition else "")
    trigger = f"capture trigger for {fault.operation}"
    match fault.kind:
        case "not noted":
            return Problem(
                f"capture of table {fault.source} was installed by an older version, or not at all", _MIGRATE
            )
        case "gone" if fault.found and fault.place:
            moved = fault.found.split(".")[-1] == fault.source
            back = (
                f"SET SCHEMA {fault.place.rpartition('.')[0]}"
                if moved
                else f"RENAME TO {quoted(fault.source)}"
            )
            return Problem(
                f"table {fault.source} is now called {fault.found}: {_FOLLOWED}",
                f"ALTER TABLE {fault.found_place} {back};",
            )
        case "gone":
            return Problem(f"table {fault.source} is gone, and its capture triggers with it", _MIGRATE)
        case "bare":
            was = (
                f"it was replaced, the triggers are on {fault.found}"
                if fault.found
                else "it was made anew, or they were dropped"
            )
            return Problem(f"{on} has no capture triggers ({was}): its changes are not seen", _MIGRATE)
        case "missing" | "disabled":
            return Problem(f"{trigger} is {fault.kind} on {on}: such changes are not seen", _MIGRATE)
        case "not always":
            return Problem(
                f"{trigger} is not ENABLE ALWAYS on {on}: changes that replication applies are not seen",
                _MIGRATE,
            )
        case "function":
            return Problem(
                f"function headrace.capture_{fault.source}_{fault.operation} is not as migrate made it: "
                f"what it logs of table {fault.source} cannot be relied on",
                _MIGRATE,
            )
        case _:
            return Problem(f"{trigger} on {on} is not as migrate makes it: changes may not be seen", _MIGRATE)


def _column(fault: Fault, faults: Sequence[Fault]) -> Problem:
    same = [other for other in faults if (other.source, other.column) == (fault.source, fault.column)]
    failing = [str(other.operation).upper() for other in same if other.kind == "unreadable"]
    fails = f"{_listed(failing)} on the table {'fails' if len(failing) == 1 else 'fail'}"
    column = f"column {fault.column} of table {fault.table}"
    if any(other.kind == "another column" for other in same):
        return Problem(
            f"{column} is another one than when capture was installed (that one is now called {fault.found}): "
            "changes of it are not seen, and statistics read the old one",
            _MIGRATE,
        )
    if fault.found:
        return Problem(
            f"{column} is now called {fault.found}: {fails if failing else _FOLLOWED}",
            f"ALTER TABLE {fault.place} RENAME COLUMN {quoted(fault.found)} TO {quoted(str(fault.column))};",
        )
    return Problem(f"{column} is gone, and capture reads it: {fails}", _MIGRATE)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
