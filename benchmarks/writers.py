"""Concurrent writers: updates per second with each alternative, relative to none."""

from __future__ import annotations

import os
import statistics
import threading
import time
from functools import partial
from uuid import UUID

import psutil
import psycopg

from benchmarks.databases import Database, Databases
from benchmarks.report import Section, disk
from benchmarks.timing import in_turn
from benchmarks.triggers import JSONB, NONE, NOTIFY, OURS, counted_anew, install, only

WRITERS = 32
ROWS_EACH = 500
ROUNDS = 5


class Writers:
    """Connections that each cycle through separate rows, one update per transaction, durable before the next."""

    def __init__(self, database: Database, count: int) -> None:
        ids: list[UUID] = database.column(
            "SELECT id FROM send_queue ORDER BY id LIMIT %s", [count * ROWS_EACH]
        )
        self._shares = [ids[number::count] for number in range(count)]
        self._connections = [psycopg.connect(database.url, autocommit=True) for _ in range(count)]
        for connection in self._connections:
            connection.execute("SET synchronous_commit = on")

    def rate(self, seconds: float) -> float:
        """Updates per second of all of them together."""
        written: list[int] = []

        def write(connection: psycopg.Connection[tuple[int]], ids: list[UUID]) -> None:
            row = connection.execute(
                "CALL bench.write('watched', %s, true, %s, NULL)", [ids, seconds]
            ).fetchone()
            assert row is not None
            written.append(row[0])

        threads = [
            threading.Thread(target=write, args=pair)
            for pair in zip(self._connections, self._shares, strict=True)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(written) == len(threads), "a writer failed"
        return sum(written) / (time.perf_counter() - began)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def run(databases: Databases) -> list[Section]:
    seconds = 4.0 if databases.scale == 1 else 0.5
    driver = psutil.Process(os.getpid())
    with databases.database(1) as database:
        install(database)
        writers = Writers(database, WRITERS)
        busy_before, began = sum(driver.cpu_times()[:2]), time.perf_counter()

        def measure(alternative: str) -> float:
            only(database, alternative)
            return writers.rate(seconds)

        figures = in_turn(ROUNDS, {name: partial(measure, name) for name in (NONE, OURS, JSONB, NOTIFY)})
        share = (sum(driver.cpu_times()[:2]) - busy_before) / (time.perf_counter() - began)
        writers.close()
        counted_anew(database)
    rate = {name: statistics.median(values) for name, values in figures.items()}

    def row(other: str, goal: str) -> tuple[str, ...]:
        ratio = rate[OURS] / rate[other]
        return ("", f"{rate[OURS]:,.0f} / s", f"{rate[other]:,.0f} / s, {other}", f"{ratio:.2f}", goal)

    rows = [row(NONE, "≥ 0.5 ×"), row(NOTIFY, "≥ 3 ×"), row(JSONB, "")]
    rows[0] = (f"{WRITERS} writers, watched single-row updates, synchronous commit", *rows[0][1:])
    return [
        Section(
            "Concurrent writers",
            rows,
            text="Here more is better. Each writer is a session whose loop, with a commit for each update, runs in the server; "
            f"this program only waits for them ({share:.1%} of a core), so the driver is not what limits them. "
            f"{disk(databases.server.data.parent)}.",
        )
    ]
