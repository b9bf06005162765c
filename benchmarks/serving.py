"""`python -m benchmarks.serving`: what reading statistics costs, and what they take on disk. A server of its own, some minutes.

Prints the tables of docs/strategies.md. Alternatives are measured in the same run, in turn with ours.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import multiprocessing
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from orchestration.campaign_stats.reader import CampaignStatsReader, Connections
from orchestration.database import connect
from orchestration.demo.load import campaign_id, create_schema, load
from orchestration.demo.server import EmbeddedServer, ensure_server, stop_server
from orchestration.engine import stream
from orchestration.migrate import migrate
from orchestration.settings import Settings

HERE = Path(__file__).parent
Connection = psycopg.Connection[Any]
Rows = list[tuple[str, str]]
SEED_CAMPAIGN = 50_857  # messages


def milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def in_database(
    connection: Connection, statement: str, parameters: Sequence[object], runs: int
) -> list[float]:
    """EXPLAIN ANALYZE's own figure, without the round trip, of planning and execution; sorted."""
    times = []
    for _ in range(runs):
        plan = connection.execute(
            f"EXPLAIN (ANALYZE, TIMING off, FORMAT json) {statement}".encode(), parameters
        ).fetchone()
        assert plan is not None
        times.append(plan[0][0]["Planning Time"] + plan[0][0]["Execution Time"])
    return sorted(times)


def shown(times: list[float]) -> str:
    times = sorted(times)
    return f"median {statistics.median(times):.2f} ms, p99 {times[int(len(times) * 0.99)]:.2f} ms"


def one(connection: Connection, statement: str, parameters: Sequence[object] = ()) -> Any:
    row = connection.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    return row[0]


# --- the six strategies --------------------------------------------------------------------------------------------


def strategies(url: str, connection: Connection, running: Any, frozen: Any) -> Rows:
    connection.execute((HERE / "seed.sql").read_text().encode())
    seed, ours = [], []
    for _ in range(6):
        seed.append(
            milliseconds(
                lambda: connection.execute(
                    "SELECT * FROM seed.get_campaign_template_stats(%s)", [running]
                ).fetchall()
            )
        )
        ours.append(
            milliseconds(
                lambda: connection.execute(
                    "SELECT * FROM headrace.get_campaign_template_stats(%s)", [running]
                ).fetchall()
            )
        )
    read = "SELECT headrace.campaign_stats(%s)"
    return [
        (
            "1 stored rows of one campaign",
            shown(
                in_database(
                    connection,
                    "SELECT * FROM headrace.campaign_template_stats WHERE campaign_id = %s",
                    [frozen],
                    300,
                )
            ),
        ),
        (
            "2 function, live",
            f"median {statistics.median(ours[1:]):.0f} ms; the seed's {statistics.median(seed[1:]):.0f} ms",
        ),
        ("4 fold of 1,000 new statuses", f"median {asyncio.run(_folds(url, 15)):.0f} ms"),
        ("5 document of a running campaign", shown(in_database(connection, read, [running], 300))),
        ("6 document of a frozen campaign", shown(in_database(connection, read, [frozen], 300))),
    ]


async def _folds(url: str, runs: int) -> float:
    """Median milliseconds from a poll to idle after 1,000 statuses of messages anywhere in unfrozen campaigns."""
    with psycopg.connect(url, autocommit=True) as writer:
        ids = [
            row[0]
            for row in writer.execute(
                "SELECT q.whatsapp_message_id FROM headrace.message_outcome o INNER JOIN send_queue q ON q.id::text = o.message_id"
                " WHERE q.whatsapp_message_id IS NOT NULL"
            )
        ]
        connection = await connect(url)
        try:
            drainer = stream.Drainer(connection)
            times = []
            for _ in range(runs + 3):
                writer.execute(
                    "INSERT INTO message_status_logs (whatsapp_message_id, status)"
                    " SELECT id, (ARRAY['delivered', 'read', 'sent', 'failed'])[1 + n %% 4]"
                    " FROM unnest(%s::text[]) WITH ORDINALITY u (id, n)",
                    [random.sample(ids, min(1000, len(ids)))],
                )
                began = time.perf_counter()
                while (await drainer.round())[0]:
                    pass
                times.append((time.perf_counter() - began) * 1000)
            return statistics.median(times[3:])
        finally:
            await connection.close()


def _fold_for_ever(url: str) -> None:
    asyncio.run(_folds(url, 1_000_000))


def under_load(url: str, connection: Connection, campaigns: list[Any]) -> Rows:
    """Stored reads of all campaigns in turn while another process writes statuses and folds them."""
    folding = multiprocessing.get_context("spawn").Process(target=_fold_for_ever, args=[url])
    folding.start()
    try:
        before = one(connection, "SELECT sum(changes_applied) FROM headrace.stream_lag")
        while one(connection, "SELECT sum(changes_applied) FROM headrace.stream_lag") == before:
            time.sleep(0.1)
        times: list[float] = []
        for _ in range(60):
            for campaign in campaigns:
                times += in_database(connection, "SELECT headrace.campaign_stats(%s)", [campaign], 1)
        folded = one(connection, "SELECT sum(changes_applied) FROM headrace.stream_lag") - before
        page = in_database(connection, "SELECT headrace.list_campaign_stats()", [], 300)
    finally:
        folding.terminate()
        folding.join()
    return [
        (f"stored read of {len(campaigns)} campaigns, {folded:,} changes folded meanwhile", shown(times)),
        ("list page of 20, a fold running", shown(page)),
    ]


# --- the cached reader ---------------------------------------------------------------------------------------------


def cached(url: str, campaign: Any, campaigns: list[Any]) -> Rows:
    """One resident connection for both, as a pool would give; a network is added as a sleep before each query."""
    rows = []
    with psycopg.connect(url, autocommit=True) as connection:
        for place, delay in (("unix socket", 0.0), ("and 1 ms of network", 0.001)):

            @contextmanager
            def connections(delay: float = delay) -> Iterator[Connection]:
                if delay:
                    time.sleep(delay)
                yield connection

            for what, ids in (("one campaign", [campaign]), (f"{len(campaigns)} campaigns", campaigns)):
                direct, kept = _plain_and_kept(connections, ids)
                ratio = statistics.median(direct) / statistics.median(kept)
                rows.append(
                    (f"{what}, {place}", f"plain {shown(direct)}; kept {shown(kept)}; {ratio:.0f} times")
                )
    return rows


def _plain_and_kept(connections: Connections, ids: list[Any]) -> tuple[list[float], list[float]]:
    reader = CampaignStatsReader(connections, refresh_seconds=3600)
    reader.get_many(ids)

    def plain() -> None:
        with connections() as given:
            given.execute(
                "SELECT id, headrace.campaign_stats(id) FROM unnest(%s::uuid[]) AS id", [ids]
            ).fetchall()

    direct, kept = [], []
    for _ in range(500):
        direct.append(milliseconds(plain))
        kept.append(milliseconds(lambda: reader.get_many(ids)))
    return direct, kept


# --- lists and ranges ----------------------------------------------------------------------------------------------


def lists(connection: Connection) -> Rows:
    """100,000 frozen campaigns of 50 users, three created at each time, written set-based past the triggers."""
    connection.execute(b"ALTER TABLE campaigns DISABLE TRIGGER USER")
    connection.execute(
        b"INSERT INTO campaigns (name, status, user_id, created_at)"
        b" SELECT 'Campaign ' || n, 'completed', md5((n % 50)::text)::uuid, timestamptz '2026-03-27' - make_interval(mins => n / 3)"
        b" FROM generate_series(1, 100000) n;"
        b"INSERT INTO headrace.campaign (campaign_id, state) SELECT id, 'frozen' FROM campaigns;"
        b"INSERT INTO headrace.campaign_template_stats"
        b" (campaign_id, template_name, total, sent, delivered, read, replied, failed, failed_queue)"
        b" SELECT id, 'template ' || n, 18176, 17505, 17070, 13091, 1812, 810, 630 FROM campaigns, generate_series(1, 4) n;"
        b"INSERT INTO headrace.campaign_computed_stats (campaign_id, template_stats, totals, state, checksum, frozen_at)"
        b" SELECT s.campaign_id, jsonb_agg(jsonb_build_object('template_name', s.template_name) || headrace.counters_json("
        b"  s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)),"
        b"  headrace.counters_json(72704, 70020, 68280, 52364, 7248, 3240, 2520), 'frozen', '', now()"
        b" FROM headrace.campaign_template_stats s GROUP BY s.campaign_id"
    )
    connection.execute(b"ALTER TABLE campaigns ENABLE TRIGGER USER")
    connection.execute(b"VACUUM ANALYZE")
    user = one(connection, "SELECT md5('1')::uuid")
    rows = []
    for who, owner, depths in (("all", None, (0, 50_000, 99_000)), ("one user", user, (0, 1000, 1900))):
        for depth in depths:
            cursor = _cursor(connection, owner, depth) if depth else None
            times = in_database(
                connection, "SELECT headrace.list_campaign_stats(%s, %s, 20)", [owner, cursor], 200
            )
            rows.append((f"page of 20, {who}, after {depth:,} campaigns", shown(times)))
    times = in_database(connection, "SELECT headrace.list_campaign_stats(p_limit => 200)", [], 50)
    rows.append(("page of 200, all", shown(times)))
    since = one(connection, "SELECT created_at FROM campaigns ORDER BY created_at DESC OFFSET 10000 LIMIT 1")
    for what, name in (("all templates", None), ("one template", "template 2")):
        times = in_database(connection, "SELECT * FROM headrace.template_stats(%s, %s)", [name, since], 10)
        rows.append((f"template_stats of 10,000 campaigns, {what}", shown(times)))
    return rows


def _cursor(connection: Connection, user: Any, depth: int) -> str:
    row = connection.execute(
        "SELECT (created_at AT TIME ZONE 'UTC')::text, id::text FROM campaigns WHERE %(user)s::uuid IS NULL OR user_id = %(user)s::uuid"
        " ORDER BY created_at DESC, id DESC OFFSET %(depth)s LIMIT 1",
        {"user": user, "depth": depth},
    ).fetchone()
    assert row is not None
    key = [*row, None if user is None else hashlib.md5(str(user).encode()).hexdigest()]
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


# --- storage -------------------------------------------------------------------------------------------------------

OF_MESSAGES = ("message_outcome", "campaign_latency")
OF_CAMPAIGNS = ("campaign", "campaign_template_stats", "campaign_computed_stats", "campaign_frozen_hours")


def _size(connection: Connection, table: str) -> int:
    return int(one(connection, "SELECT pg_total_relation_size(('headrace.' || %s)::regclass)", [table]))


def live_storage(connection: Connection) -> Rows:
    messages = one(connection, "SELECT count(*) FROM headrace.message_outcome")
    return [
        (f"{table}, bytes for each of {messages:,} messages", f"{_size(connection, table) / messages:.1f}")
        for table in OF_MESSAGES
    ]


def frozen_storage(connection: Connection) -> Rows:
    """Freezes everything and repeats the result until there are a thousand campaigns: relations with their indexes."""
    connection.execute(b"SELECT headrace.freeze_campaigns(ARRAY(SELECT id FROM campaigns))")
    there = one(connection, "SELECT count(*) FROM campaigns")
    copies = max(1, 1000 // there)
    connection.execute(
        b"CREATE TEMP TABLE twin AS SELECT id, gen_random_uuid() AS new FROM campaigns, generate_series(1, %d)"
        % copies
    )
    for table in OF_CAMPAIGNS:
        columns = [
            row[0]
            for row in connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = ('headrace.' || %s)::regclass AND attnum > 1 AND NOT attisdropped"
                " ORDER BY attnum",
                [table],
            )
        ]
        # As they would come: campaign after campaign, not all hours of one hour together.
        connection.execute(
            sql.SQL(
                "CREATE TEMP TABLE kept AS SELECT w.new, {columns} FROM headrace.{table} t INNER JOIN twin w ON w.id = t.campaign_id;"
                " TRUNCATE headrace.{table};"
                " INSERT INTO headrace.{table} (campaign_id, {columns}) SELECT * FROM kept ORDER BY new; DROP TABLE kept"
            ).format(columns=sql.SQL(", ").join(map(sql.Identifier, columns)), table=sql.Identifier(table))
        )
    campaigns = copies * there
    sizes = {table: _size(connection, table) / campaigns for table in OF_CAMPAIGNS}
    hours = one(connection, "SELECT count(*) FROM headrace.campaign_hourly_stats") / campaigns
    return [
        *(
            (f"{table}, bytes for each of {campaigns:,} frozen campaigns", f"{size:,.0f}")
            for table, size in sizes.items()
        ),
        (f"together ({hours:.0f} hours of series each)", f"{sum(sizes.values()):,.0f}"),
    ]


# -------------------------------------------------------------------------------------------------------------------


@contextmanager
def database(server: EmbeddedServer, name: str) -> Iterator[tuple[str, Connection]]:
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = server.url(name)
    create_schema(url, "public")
    migrate(url, Settings())
    with psycopg.connect(url, autocommit=True) as connection:
        yield url, connection


def show(title: str, rows: Rows) -> None:
    print(f"\n| {title} | |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--campaigns", type=int, default=20, help="of the seed's size")
    options.add_argument("--scale", type=float, default=1.0, help="share of the seed's size")
    chosen = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="hr-bench-", dir="/tmp"))
    home.chmod(0o755)
    try:
        server = ensure_server(home)
        with database(server, "lists") as (_, connection):
            show("lists and ranges, 100,000 campaigns, in the database", lists(connection))
        with database(server, "campaigns") as (url, connection):
            # Completed a while ago, all within the settle window: nothing is frozen yet.
            load(url, "public", chosen.campaigns, 1, datetime.now(UTC), scale=chosen.scale)
            connection.execute(
                b"UPDATE campaigns SET completed_at = now() - interval '1 day' WHERE completed_at IS NOT NULL"
            )
            asyncio.run(stream.drain(url))
            show("storage while live", live_storage(connection))
            connection.execute(b"VACUUM ANALYZE")
            campaigns = [campaign_id(1, n) for n in range(chosen.campaigns)]
            frozen, running = campaigns[0], campaigns[1]
            connection.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [frozen])
            show("strategies, one campaign", strategies(url, connection, running, frozen))
            show("under load, in the database", under_load(url, connection, campaigns))
            show("strategy 3: cached reader", cached(url, running, campaigns))
            show("storage when frozen", frozen_storage(connection))
    finally:
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
