"""`make bench`: measures on a fresh embedded server and writes benchmarks/README.md. Minutes; nothing is left behind.

Alternatives are measured in the same run, alternating with ours, so that a noisy machine disturbs both.
"""

from __future__ import annotations

import asyncio
import platform
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from orchestration.database import connect
from orchestration.demo.load import campaign_id, create_schema, load
from orchestration.demo.server import EmbeddedServer, ensure_server, stop_server
from orchestration.engine import stream
from orchestration.migrate import migrate
from orchestration.settings import Settings

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 27, tzinfo=UTC)
FULL_LOGS = 121_679

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, ours and the alternative's figure, and the goal of the design."""

    what: str
    ours: str
    against: str
    ratio: str
    goal: str


def milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def alternating(runs: int, *actions: Callable[[], object]) -> list[list[float]]:
    """Times actions in turn, after one round that does not count: milliseconds per action and run."""
    times: list[list[float]] = [[] for _ in actions]
    for run in range(runs + 1):
        for position, action in enumerate(actions):
            taken = milliseconds(action)
            if run:
                times[position].append(taken)
    return times


@contextmanager
def database(server: EmbeddedServer, name: str, *, headrace: bool = True) -> Iterator[tuple[str, Connection]]:
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = server.url(name)
    create_schema(url, "public")
    if headrace:
        migrate(url, Settings())
    with psycopg.connect(url, autocommit=True) as connection:
        yield url, connection


def drain(url: str) -> stream.Drained:
    return asyncio.run(stream.drain(url))


def differences(connection: Connection) -> int:
    columns = "campaign_id, template_name, total, sent, delivered, read, replied, failed, failed_queue"
    row = connection.execute(
        f"WITH s AS (SELECT {columns} FROM headrace.campaign_template_stats),"
        f" l AS (SELECT {columns} FROM headrace.campaign_template_stats_live)"
        " SELECT count(*) FROM ((TABLE s EXCEPT TABLE l) UNION ALL (TABLE l EXCEPT TABLE s)) d"
    ).fetchone()
    assert row is not None
    return int(row[0])


def recompute(connection: Connection) -> list[Row]:
    connection.execute((HERE / "seed.sql").read_text())
    campaign = campaign_id(1, 0)
    ours, seed = alternating(
        9,
        lambda: connection.execute(
            "SELECT * FROM headrace.campaign_template_stats_live WHERE campaign_id = %s", [campaign]
        ).fetchall(),
        lambda: connection.execute(
            "SELECT * FROM seed.get_campaign_template_stats(%s)", [campaign]
        ).fetchall(),
    )
    rebuild = [
        milliseconds(
            lambda: connection.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [campaign])
        )
        for _ in range(5)
    ]
    a, b = statistics.median(ours), statistics.median(seed)
    return [
        Row(
            "full recompute of one campaign, live view",
            f"{a:.0f} ms",
            f"{b:.0f} ms, the seed's function",
            f"{a / b:.2f}",
            "≤ 0.6",
        ),
        Row(
            "the same, rebuilt and stored (nothing had changed)",
            f"{statistics.median(rebuild):.0f} ms",
            "",
            f"{statistics.median(rebuild) / b:.2f}",
            "reported",
        ),
    ]


def fold(url: str, connection: Connection) -> list[Row]:
    ids = [
        row[0]
        for row in connection.execute(
            "SELECT whatsapp_message_id FROM send_queue WHERE whatsapp_message_id IS NOT NULL"
        )
    ]
    chance = random.Random(1)

    def statuses(count: int) -> None:
        connection.execute(
            "INSERT INTO message_status_logs (whatsapp_message_id, status)"
            " SELECT id, (ARRAY['delivered', 'read', 'sent', 'failed'])[1 + n %% 4] FROM unnest(%s::text[]) WITH ORDINALITY u (id, n)",
            [chance.sample(ids, count)],
        )

    thousand = asyncio.run(_resident(url, lambda: statuses(1000), 25))
    for _ in range(10):
        statuses(20_000)
    backlog = milliseconds(lambda: drain(url)) / 1000
    assert differences(connection) == 0
    return [
        Row(
            "fold of 1,000 webhook statuses (polls, fold, commit; a worker's open connection)",
            f"{statistics.median(thousand):.0f} ms (best {min(thousand):.0f})",
            "",
            "",
            "≤ 40 ms, moonshot 20",
        ),
        Row(
            "backlog of 200,000 statuses, one worker's connection",
            f"{200_000 / backlog:,.0f} / s",
            "",
            "",
            "≥ 25,000 / s, moonshot 60,000",
        ),
    ]


async def _resident(url: str, write: Callable[[], None], runs: int) -> list[float]:
    """Milliseconds from a poll to idle after each write, on one open connection as a worker has it."""
    connection = await connect(url)
    try:
        drainer = stream.Drainer(connection)
        times = []
        for _ in range(runs + 3):
            write()
            began = time.perf_counter()
            while (await drainer.round())[0]:
                pass
            times.append((time.perf_counter() - began) * 1000)
        return times[3:]
    finally:
        await connection.close()


def shuffled(server: EmbeddedServer) -> list[Row]:
    """One campaign's statuses taken away, then fed again: shuffled, a tenth of them twice, in transactions of 1 to 400."""
    with database(server, "shuffled") as (url, connection):
        load(url, "public", 1, 1, NOW)
        drain(url)
        logs = connection.execute(
            "DELETE FROM message_status_logs RETURNING whatsapp_message_id, status, created_at"
        ).fetchall()
        drain(url)
        assert len(logs) == FULL_LOGS
        chance = random.Random(2)
        fed = logs + chance.sample(logs, FULL_LOGS // 10)
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
        taken = milliseconds(lambda: drain(url)) / 1000
        wrong = differences(connection)
    return [
        Row(
            f"all {FULL_LOGS:,} statuses of a campaign, shuffled and a tenth of them twice",
            f"{taken:.1f} s, {wrong} differences from the recompute",
            "",
            "",
            "≤ 8 s, none",
        )
    ]


def reads(connection: Connection) -> list[Row]:
    campaign = campaign_id(1, 0)
    # In the database: EXPLAIN ANALYZE's own figure, without the round trip.
    times = []
    for _ in range(300):
        plan = connection.execute(
            "EXPLAIN (ANALYZE, TIMING off, FORMAT json) SELECT headrace.campaign_stats(%s)", [campaign]
        ).fetchone()
        assert plan is not None
        times.append(plan[0][0]["Execution Time"] + plan[0][0]["Planning Time"])
    polls = [
        milliseconds(lambda: connection.execute("SELECT * FROM headrace.stream_poll()").fetchall())
        for _ in range(300)
    ]
    return [
        Row(
            "read of one campaign's stored document, in the database",
            f"p99 {_p99(times):.2f} ms",
            "",
            "",
            "p99 ≤ 2 ms",
        ),
        Row(
            "idle poll of all streams, round trip",
            f"median {statistics.median(polls):.2f} ms, p99 {_p99(polls):.2f} ms",
            "",
            "",
            "< 1 ms, no WAL",
        ),
    ]


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def loading(server: EmbeddedServer) -> list[Row]:
    """The same two campaigns loaded by COPY with capture and without, in turn, into databases of their own."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for run in range(3):
        for headrace in (True, False):
            with database(server, f"load_{run}_{headrace}".lower(), headrace=headrace) as (url, _):
                times[headrace].append(milliseconds(lambda url=url: load(url, "public", 2, 1, NOW)) / 1000)
    a, b = min(times[True]), min(times[False])
    return [
        Row(
            "load of two campaigns by COPY, with capture",
            f"{a:.1f} s",
            f"{b:.1f} s without",
            f"{a / b:.2f}",
            "≤ 2",
        )
    ]


def writes(url: str, connection: Connection) -> list[Row]:
    """What capture adds to an application's updates: microseconds a row, triggers off and on in turn."""
    rows = []
    captured = ("!headrace_insert", "!headrace_update", "!headrace_delete", "!headrace_truncate")

    def switch(on: bool) -> None:
        for name in captured:
            connection.execute(
                sql.SQL("ALTER TABLE send_queue {} TRIGGER {}").format(
                    sql.SQL("ENABLE ALWAYS" if on else "DISABLE"), sql.Identifier(name)
                )
            )

    connection.execute("ALTER TABLE send_queue ADD COLUMN note integer")
    pairs = {
        "update of an unwatched column, 20,000 rows at once": ("SET note = coalesce(note, 0) + 1", "≤ 5 µs"),
        "bulk update of a watched column, 20,000 rows at once": (
            "SET status = CASE status WHEN 'sent' THEN 'queued' ELSE 'sent' END",
            "≤ 15 µs",
        ),
    }
    for what, (change, goal) in pairs.items():
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(7):
            for on in (False, True):
                switch(on)
                times[on].append(
                    milliseconds(
                        lambda change=change: connection.execute(
                            f"UPDATE send_queue {change} WHERE id IN (SELECT id FROM send_queue ORDER BY id LIMIT 20000)"
                        )
                    )
                )
        added = (statistics.median(times[True]) - statistics.median(times[False])) * 1000 / 20_000
        ratio = statistics.median(times[True]) / statistics.median(times[False])
        rows.append(Row(what, f"{added:+.1f} µs a row", "no trigger", f"{ratio:.2f}", goal))
    switch(True)
    drain(url)
    assert differences(connection) == 0
    return rows


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="hr-bench-", dir="/tmp"))
    home.chmod(0o755)
    rows: list[Row] = []
    try:
        server = ensure_server(home)
        with database(server, "main") as (url, connection):
            load(url, "public", 1, 1, NOW)
            drain(url)
            connection.execute("VACUUM ANALYZE")
            version = connection.info.server_version
            rows += recompute(connection)
            rows += reads(connection)
            rows += fold(url, connection)
            rows += writes(url, connection)
        rows += shuffled(server)
        rows += loading(server)
    finally:
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)
    table = ["| what | ours | against | ratio | goal |", "|---|---|---|---|---|"]
    table += [f"| {row.what} | {row.ours} | {row.against} | {row.ratio} | {row.goal} |" for row in rows]
    report = "\n".join(table)
    (HERE / "README.md").write_text(
        "# Benchmarks\n\n"
        "Written by `make bench` (`python -m benchmarks`), which makes a server of its own and removes it again.\n"
        f"One campaign of the seed's size (50,857 queue rows, {FULL_LOGS:,} logs, 49,694 messages) unless said otherwise.\n"
        "Machines are shared and noisy: trust the ratios, which come from alternating runs, more than the absolute times.\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Python {platform.python_version()}, PostgreSQL {version // 10000}.{version % 10000} (embedded).\n\n"
        f"{report}\n",
        encoding="utf-8",
    )
    print(report)


if __name__ == "__main__":
    main()
