"""Timing: one action, several alternating ones, and how the figures are summarized."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import psycopg


def milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def database_times(
    connection: psycopg.Connection[Any], statement: str, parameters: Sequence[object], runs: int
) -> list[float]:
    """Milliseconds of a statement as the database reports them, planning included, without the round trip."""
    times = []
    for _ in range(runs):
        row = connection.execute(
            f"EXPLAIN (ANALYZE, TIMING off, FORMAT json) {statement}".encode(), parameters
        ).fetchone()
        assert row is not None
        times.append(row[0][0]["Planning Time"] + row[0][0]["Execution Time"])
    return times


def in_turn(rounds: int, actions: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Results of the actions, run alternately after a warm-up round; each round begins with a different action."""
    names = list(actions)
    figures: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            figure = actions[name]()
            if number:
                figures[name].append(figure)
    return figures


def times_in_turn(rounds: int, actions: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds of each action in each round."""
    return in_turn(rounds, {name: partial(milliseconds, action) for name, action in actions.items()})


def added(figures: Mapping[str, Sequence[float]], name: str, without: str) -> float:
    """How much more `name` costs than `without`: the median of the differences within each round."""
    return statistics.median(one - other for one, other in zip(figures[name], figures[without], strict=True))


def p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
