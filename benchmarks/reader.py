"""The cached reader against the function whose answers it keeps: one open connection for both, as a pool would give."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from benchmarks.databases import Connection, Database, Databases
from benchmarks.report import Section
from benchmarks.timing import in_turn, milliseconds
from orchestration.campaign_stats.reader import CampaignStatsReader, Connections
from orchestration.demo.campaign_stats.load import campaign_id

CAMPAIGNS = 20
ROUNDS = 500


def connections(database: Database, delay: float) -> Connections:
    """Yields the database's connection; a sleep before each query simulates a network."""

    @contextmanager
    def connection() -> Iterator[Connection]:
        if delay:
            time.sleep(delay)
        yield database.connection

    return connection


def times(given: Connections, ids: Sequence[UUID], rounds: int) -> dict[str, list[float]]:
    reader = CampaignStatsReader(given, refresh_seconds=3600)

    def plain() -> None:
        with given() as connection:
            connection.execute(
                "SELECT id, headrace.campaign_stats(id) FROM unnest(%s::uuid[]) AS id", [list(ids)]
            ).fetchall()

    return in_turn(
        rounds,
        {
            "plain": lambda: milliseconds(plain),
            "reader": lambda: milliseconds(lambda: reader.get_many(ids)),
        },
    )


def run(databases: Databases) -> list[Section]:
    rows = []
    with databases.database(CAMPAIGNS) as database:
        every = [campaign_id(1, number) for number in range(CAMPAIGNS)]
        for place, delay in (("unix socket", 0.0), ("with 1 ms of network", 0.001)):
            for what, ids in (("one campaign", every[1:2]), (f"{CAMPAIGNS} campaigns", every)):
                found = times(
                    connections(database, delay), ids, ROUNDS if databases.scale == 1 else ROUNDS // 25
                )
                ours, plain = statistics.median(found["reader"]), statistics.median(found["plain"])
                rows.append(
                    (
                        f"{what}, {place}",
                        f"{ours:.3f} ms",
                        f"{plain:.2f} ms, campaign_stats()",
                        f"{ours / plain:.3f}",
                        "",
                    )
                )
    return [
        Section(
            "The cached reader",
            rows,
            text="Documents in the memory of a Python service, against the function; a network is a sleep before each query.",
        )
    ]
