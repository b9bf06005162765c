"""What a check found, before it is put into Dagster's words: passed or not, in a sentence, with numbers and lists.

Here: the shape that all checks share. Not here: what they look at (documents.py, statuses.py, stream_state.py,
orchestration/engine/capture.py), and Dagster (checks.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestration.text import clean, cut

Cell = str | int | float | None

# Lists are cut here, and say how many there are.
MOST_ROWS = 50
MOST_NAMED = 5
LONGEST = 300


@dataclass(frozen=True)
class Listing:
    """A table for the UI: columns with their types (string, int, float), the first rows, and how many there are."""

    columns: Mapping[str, str]
    rows: Sequence[tuple[Cell, ...]]
    total: int

    @staticmethod
    def of(columns: Mapping[str, str], rows: Sequence[tuple[Cell, ...]], total: int | None = None) -> Listing:
        return Listing(columns, rows[:MOST_ROWS], len(rows) if total is None else total)


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        sentence: what is so, or what is wrong and what to do; names the culprits.
        severe: numbers are wrong or capture is broken; otherwise the application's rows are untidy.
        numbers: for the UI to plot; the same keys every time.
        listings: the culprits, where there are some.
    """

    passed: bool
    sentence: str
    severe: bool
    numbers: Mapping[str, int | float]
    listings: Mapping[str, Listing] = field(default_factory=dict)


def named(
    items: Sequence[str], total: int | None = None, *, most: int = MOST_NAMED, separator: str = "; "
) -> str:
    """The first ones, and how many more there are."""
    more = (len(items) if total is None else total) - len(items[:most])
    return separator.join([*map(short, items[:most]), *([f"and {more:,} more"] if more > 0 else [])])


def counts(pairs: Iterable[tuple[str, int]]) -> str:
    """Names with their counts."""
    return named([f"{name} {count:,}" for name, count in pairs], most=8, separator=", ")


def short(text: str) -> str:
    """Text from outside, on one line and not too long."""
    return cut(clean(text), LONGEST)


def age(seconds: float) -> str:
    """A duration for people: 90 s, 12 min, 5 h, 3 days."""
    for size, unit in ((172_800, "days"), (7_200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def stamp(moment: datetime | None) -> str | None:
    """A moment as a cell, to the second."""
    return None if moment is None else moment.isoformat(sep=" ", timespec="seconds")
