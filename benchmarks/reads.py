"""Reading a stored document: time in the database, alone and while a worker folds. Also the poll of an idle worker."""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks.databases import Database, Databases
from benchmarks.report import Section
from benchmarks.timing import database_times, milliseconds, p99
from orchestration.database.connections import connect
from orchestration.demo.campaign_stats.load import campaign_id
from orchestration.engine import stream


def read_times(database: Database, count: int) -> list[float]:
    """Milliseconds of each read of a document, as the database reports them, planning included; campaigns vary."""
    campaigns = database.column("SELECT id FROM campaigns WHERE status NOT IN ('scheduled', 'failed')")
    chance = random.Random(1)
    return [
        database_times(
            database.connection, "SELECT headrace.campaign_stats(%s)", [chance.choice(campaigns)], 1
        )[0]
        for _ in range(count)
    ]


def poll_times(database: Database, count: int) -> list[float]:
    """Milliseconds of each idle poll, round trip included."""
    return [
        milliseconds(lambda: database.connection.execute("SELECT * FROM headrace.stream_poll()").fetchall())
        for _ in range(count)
    ]


@contextmanager
def folding(database: Database) -> Iterator[list[int]]:
    """Folds on a worker's connection while a writer keeps it busy. Yields a list that grows with each fold."""
    ids = database.column("SELECT whatsapp_message_id FROM send_queue WHERE whatsapp_message_id IS NOT NULL")
    folded: list[int] = []
    stopping = threading.Event()

    def write() -> None:
        chance = random.Random(2)
        with psycopg.connect(database.url, autocommit=True) as connection:
            while not stopping.is_set():
                connection.execute(
                    "INSERT INTO message_status_logs (whatsapp_message_id, status)"
                    " SELECT id, 'read' FROM unnest(%s::text[]) id",
                    [chance.sample(ids, 500)],
                )
                time.sleep(0.03)

    async def fold() -> None:
        connection = await connect(database.url)
        try:
            drainer = stream.Drainer(connection)
            while not stopping.is_set():
                await drainer.round()
                folded.append(drainer.drained.changes)
        finally:
            await connection.close()

    threads = [threading.Thread(target=write), threading.Thread(target=lambda: asyncio.run(fold()))]
    for thread in threads:
        thread.start()
    try:
        yield folded
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def run(databases: Databases) -> list[Section]:
    rows = []
    with databases.database(1) as database:
        database.run_file("seeds/function.sql", "seed")
        seed = statistics.median(
            milliseconds(
                lambda: database.connection.execute(
                    "SELECT * FROM seed.get_campaign_template_stats(%s)", [campaign_id(1, 0)]
                ).fetchall()
            )
            for _ in range(5)
        )
        stored = read_times(database, 1000)
        alone = p99(stored)
        polls = poll_times(database, 1000)
        counters = database_times(
            database.connection,
            "SELECT * FROM headrace.campaign_template_stats WHERE campaign_id = %s",
            [campaign_id(1, 0)],
            1000,
        )
        database.value("SELECT headrace.freeze_campaigns(ARRAY[%s])", [campaign_id(1, 0)])
        frozen = read_times(database, 1000)
        rows.append(
            (
                "stored document of a campaign, p99 in the database",
                f"{alone:.2f} ms",
                f"{seed:.0f} ms, the seed's function",
                f"{alone / seed:.4f}",
                "≤ 2 ms",
            )
        )
        rows += [
            (what, f"median {statistics.median(times):.2f} ms, p99 {p99(times):.2f} ms", "", "", "")
            for what, times in (
                ("its stored counters", counters),
                ("its document, running", stored),
                ("its document, frozen", frozen),
            )
        ]
    with databases.database(20) as database:
        read_times(database, 100)
        with folding(database) as folded:
            while not folded:
                time.sleep(0.01)
            before = folded[-1]
            busy = p99(read_times(database, 2000))
            done = folded[-1] - before
            page = database_times(database.connection, "SELECT headrace.list_campaign_stats()", [], 500)
        assert done > 0, "nothing was folded while reading"
        database.drain()
        database.assert_right()
        rows.append(
            (
                f"the same with 20 campaigns, while statuses are written and folded ({done:,} meanwhile)",
                f"{busy:.2f} ms",
                "",
                "",
                "≤ 2 ms",
            )
        )
    rows.append(
        (
            "list page of 20, meanwhile",
            f"median {statistics.median(page):.2f} ms, p99 {p99(page):.2f} ms",
            "",
            "",
            "≤ 5 ms",
        )
    )
    rows.append(
        (
            "idle poll of all streams, round trip",
            f"median {statistics.median(polls):.2f} ms, p99 {p99(polls):.2f} ms",
            "",
            "",
            "< 1 ms",
        )
    )
    return [Section("Reads", rows)]
