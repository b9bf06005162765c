"""Several workers on the same work: a backlog of one campaign, of many, split into shards; a queue of rebuilds."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from benchmarks.databases import Database, Databases
from benchmarks.folds import message_ids, statuses
from benchmarks.report import Section
from orchestration.database.connections import connect
from orchestration.demo.campaign_stats.load import campaign_id
from orchestration.engine import stream
from orchestration.engine.worker import BUSY_PAUSE_SECONDS, next_pause

WORKERS = (1, 2, 4)


def drained_by(database: Database, workers: int) -> float:
    """Seconds until nothing is left, with that number of connections working like workers."""

    async def work() -> None:
        connection = await connect(database.url)
        try:
            drainer = stream.Drainer(connection)
            pause = BUSY_PAUSE_SECONDS
            while True:
                found, moved = await drainer.round()
                if not found:
                    return
                pause = next_pause(pause, moved)
                await asyncio.sleep(pause)
        finally:
            await connection.close()

    async def all_of_them() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(workers)))
        return time.perf_counter() - began

    return asyncio.run(all_of_them())


def _statuses(database: Database, ids: Sequence[str], count: int) -> Callable[[], int]:
    chance = random.Random(4)

    def write() -> int:
        left = count
        while left > 0:
            part = min(20_000, left, len(ids))
            statuses(database, ids, part, chance)
            left -= part
        return count

    return write


def _row(what: str, database: Database, write: Callable[[], int], unit: str) -> tuple[str, ...]:
    rates = []
    for workers in WORKERS:
        count = write()
        rates.append(count / drained_by(database, workers))
        database.assert_right()
    return (what, *(f"{rate:,.{0 if rate > 100 else 1}f} {unit} ({rate / rates[0]:.2f})" for rate in rates))


def run(databases: Databases) -> list[Section]:
    campaigns = 8
    count = int(100_000 * databases.scale)
    with databases.database(campaigns) as database:
        one, every = message_ids(database, campaign_id(1, 0)), message_ids(database)

        def rebuilds() -> int:
            return int(database.value("SELECT headrace.request_rebuild()"))

        rows = [
            _row("statuses of one campaign", database, _statuses(database, one, count), "/ s"),
            _row(f"statuses of {campaigns} campaigns", database, _statuses(database, every, count), "/ s"),
            _row(f"{campaigns} campaigns to rebuild", database, rebuilds, "campaigns / s"),
        ]
        database.value("SELECT headrace.rebase_stream('campaign_stats', 4)::text")
        database.drain()
        rows += [
            _row(
                "the same statuses in 4 shards, of one campaign",
                database,
                _statuses(database, one, count),
                "/ s",
            ),
            _row(
                f"in 4 shards, of {campaigns} campaigns", database, _statuses(database, every, count), "/ s"
            ),
        ]
    return [
        Section(
            "Workers",
            rows,
            ("work", *(f"{n} worker{'s' if n > 1 else ''}" for n in WORKERS)),
            text="In brackets: against one worker. Folds of a campaign exclude each other, and a stream has one shard, so a second "
            "worker is there to take over; rebuilds of different campaigns go side by side.",
        )
    ]
