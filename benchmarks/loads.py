"""Bulk loads: the same campaigns by COPY with capture, with a JSONB trigger, and with neither."""

from __future__ import annotations

from functools import partial

from benchmarks.databases import Databases
from benchmarks.report import Section
from benchmarks.timing import in_turn, milliseconds
from benchmarks.triggers import JSONB, NONE, OURS, install, only


def run(databases: Databases) -> list[Section]:
    def load(alternative: str) -> float:
        with databases.database(0) as database:
            install(database)
            only(database, alternative)
            return milliseconds(lambda: databases.load(database.url, 2, 1)) / 1000

    figures = in_turn(
        2 if databases.scale == 1 else 1,
        {name: partial(load, name) for name in (NONE, OURS, JSONB)},
    )
    best = {name: min(values) for name, values in figures.items()}
    rows = [
        (
            "two campaigns by COPY",
            f"{best[OURS]:.1f} s",
            f"{best[NONE]:.1f} s, no trigger",
            f"{best[OURS] / best[NONE]:.2f}",
            "≤ 2",
        ),
        (
            "",
            f"{best[OURS]:.1f} s",
            f"{best[JSONB]:.1f} s, {JSONB} on two of five tables",
            f"{best[OURS] / best[JSONB]:.2f}",
            "",
        ),
    ]
    return [Section("Loads", rows, text="Best of the rounds; the time includes making the rows.")]
