"""What a check found, before it becomes a Dagster result: passed or not, a sentence, numbers and lists.

Here: the shape that all checks share. Not here: what they look at (stream_findings.py, the domains), and Dagster (checks.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestration.text import clean, cut

Cell = str | int | float | None

_TYPES = {str: "string", int: "int", float: "float"}

# Longer lists are cut, and say how many items there are.
MOST_ROWS = 50
MOST_NAMED = 5
LONGEST = 300


@dataclass(frozen=True)
class Listing:
    """A table for the UI. columns: with their types (string, int, float); rows: the first ones; total: how many there are."""

    columns: Mapping[str, str]
    rows: Sequence[tuple[Cell, ...]]
    total: int

    @staticmethod
    def of(names: Sequence[str], rows: Sequence[tuple[Cell, ...]], total: int | None = None) -> Listing:
        """The first rows; a column's type is that of its first value. total: how many rows there are, if not all are given."""
        shown = rows[:MOST_ROWS]
        types = {
            name: next((_TYPES[type(row[n])] for row in shown if row[n] is not None), "string")
            for n, name in enumerate(names)
        }
        return Listing(types, shown, len(rows) if total is None else total)


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        sentence: what holds, or what is wrong and what to do about it; names the culprits.
        severe: a failure is an error, because numbers are wrong or capture is broken; otherwise it is a warning.
        numbers: for the UI to plot; the same keys every time.
        listings: the culprits, if there are any.
    """

    passed: bool
    sentence: str
    severe: bool
    numbers: Mapping[str, int | float]
    listings: Mapping[str, Listing] = field(default_factory=dict)


def named(
    items: Sequence[str], total: int | None = None, *, most: int = MOST_NAMED, separator: str = "; "
) -> str:
    """The first items, and how many more there are."""
    more = (len(items) if total is None else total) - len(items[:most])
    return separator.join([*map(short, items[:most]), *([f"and {more:,} more"] if more > 0 else [])])


def counts(pairs: Iterable[tuple[str, int]]) -> str:
    """Names with their counts."""
    return named([f"{name} {count:,}" for name, count in pairs], most=8, separator=", ")


def short(text: str) -> str:
    """Text from outside, on one line and not too long."""
    return cut(clean(text), LONGEST)


def stamp(moment: datetime | None) -> str | None:
    """A moment as text for a cell, to the second."""
    return None if moment is None else moment.isoformat(sep=" ", timespec="seconds")
