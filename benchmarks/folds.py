"""Applying changes: a thousand statuses, a backlog, a whole campaign's statuses shuffled and repeated."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Callable, Sequence

from benchmarks.databases import FULL_LOGS, Database, Databases
from benchmarks.report import Section
from benchmarks.timing import milliseconds
from orchestration.database.connections import connect
from orchestration.engine import stream


def statuses(database: Database, ids: Sequence[str], count: int, chance: random.Random) -> None:
    """Writes statuses of that number of different messages, in one statement."""
    database.connection.execute(
        "INSERT INTO message_status_logs (whatsapp_message_id, status)"
        " SELECT id, (ARRAY['delivered', 'read', 'sent', 'failed'])[1 + n %% 4]"
        " FROM unnest(%s::text[]) WITH ORDINALITY u (id, n)",
        [chance.sample(ids, min(count, len(ids)))],
    )


def fold_times(url: str, write: Callable[[], None], runs: int) -> list[float]:
    """Milliseconds from a poll to idle after each write, on one open connection as in a worker."""

    async def resident() -> list[float]:
        connection = await connect(url)
        try:
            drainer = stream.Drainer(connection)

            async def until_idle() -> None:
                while (await drainer.round())[0]:
                    pass

            await until_idle()
            times = []
            for _ in range(runs + 3):
                write()
                loop = asyncio.get_running_loop()
                began = loop.time()
                await until_idle()
                times.append((loop.time() - began) * 1000)
            return times[3:]
        finally:
            await connection.close()

    return asyncio.run(resident())


def backlog_rate(database: Database, ids: Sequence[str], count: int, chance: random.Random) -> float:
    """Changes applied per second, on one connection, from a backlog written in transactions of up to 20,000."""
    written = 0
    while written < count:
        part = min(20_000, count - written, len(ids))
        statuses(database, ids, part, chance)
        written += part
    return count / (milliseconds(database.drain) / 1000)


def message_ids(database: Database, campaign: object = None) -> list[str]:
    """Message ids of the queue, for one campaign or all."""
    return database.column(
        "SELECT whatsapp_message_id FROM send_queue WHERE whatsapp_message_id IS NOT NULL"
        " AND (%(campaign)s::uuid IS NULL OR campaign_id = %(campaign)s)",
        {"campaign": campaign},
    )


def _shuffled(databases: Databases) -> tuple[float, int, int]:
    """After all statuses of a campaign were removed: seconds to apply them, differences from the recompute, number of statuses."""
    with databases.database(1) as database:
        connection = database.connection
        logs = connection.execute(
            "DELETE FROM message_status_logs RETURNING whatsapp_message_id, status, created_at"
        ).fetchall()
        database.drain()
        assert len(logs) == FULL_LOGS or databases.scale < 1
        chance = random.Random(2)
        fed = logs + chance.sample(logs, len(logs) // 10)
        chance.shuffle(fed)
        position = 0
        while position < len(fed):
            batch = fed[position : position + chance.randint(1, 400)]
            position += len(batch)
            connection.execute(
                "INSERT INTO message_status_logs (whatsapp_message_id, status, created_at)"
                " SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[])",
                [list(column) for column in zip(*batch, strict=True)],
            )
        taken = milliseconds(database.drain) / 1000
        return taken, database.differences(), len(logs)


def run(databases: Databases) -> list[Section]:
    chance = random.Random(1)
    with databases.database(1) as database:
        ids = message_ids(database)
        thousand = fold_times(database.url, lambda: statuses(database, ids, 1000, chance), 25)
        database.assert_right()
        rate = backlog_rate(database, ids, int(200_000 * databases.scale), chance)
        database.assert_right()
    seconds, differences, count = _shuffled(databases)
    assert differences == 0
    return [
        Section(
            "Folds",
            [
                (
                    "1,000 statuses (polls, fold, commit; a worker's open connection)",
                    f"{statistics.median(thousand):.0f} ms (best {min(thousand):.0f})",
                    "",
                    "",
                    "≤ 40 ms, moonshot 20",
                ),
                (
                    "backlog of 200,000 statuses, one worker's connection",
                    f"{rate:,.0f} / s",
                    "",
                    "",
                    "≥ 25,000 / s, moonshot 60,000",
                ),
                (
                    f"all {count:,} statuses of a campaign, shuffled and a tenth of them twice, in transactions of 1 to 400",
                    f"{seconds:.1f} s, no difference from the recompute",
                    "",
                    "",
                    "≤ 8 s, none",
                ),
            ],
            text="Stored statistics are compared with the recompute after each.",
        )
    ]
