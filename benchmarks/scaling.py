"""The same work in databases of 1, 2, 5, 10 and 20 campaigns: shows that costs which must not grow with them do not."""

from __future__ import annotations

import random
import statistics

import psycopg

from benchmarks.databases import UNFROZEN, Database, Databases
from benchmarks.folds import backlog_rate, fold_times, message_ids, statuses
from benchmarks.reads import poll_times, read_times
from benchmarks.report import Section
from benchmarks.timing import milliseconds, p99, times_in_turn
from orchestration.demo.campaign_stats.load import campaign_id, create_schema
from orchestration.install.migrate import migrate

SIZES = (1, 2, 5, 10, 20)
COLUMNS = (
    "campaigns",
    "fold of 1,000, one campaign",
    "fold of 1,000, all campaigns",
    "backlog of 100,000, all campaigns",
    "stored read, p99",
    "live recompute of one",
    "the seed's function",
    "rebuild, a campaign",
    "idle poll",
)


def _measured(database: Database, campaigns: int, rebuild_seconds: float, backlog: int) -> tuple[str, ...]:
    chance = random.Random(campaigns)
    one = campaign_id(1, 0)
    ids, every = message_ids(database, one), message_ids(database)
    one_fold = fold_times(database.url, lambda: statuses(database, ids, 1000, chance), 9)
    all_fold = fold_times(database.url, lambda: statuses(database, every, 1000, chance), 9)
    rate = backlog_rate(database, every, backlog, chance)
    database.assert_right()
    database.run_file("seeds/function.sql", "seed")
    recomputed = times_in_turn(
        5,
        {
            "live": lambda: database.column(
                "SELECT total FROM headrace.campaign_template_stats_live WHERE campaign_id = %s", [one]
            ),
            "seed": lambda: database.column("SELECT total FROM seed.get_campaign_template_stats(%s)", [one]),
        },
    )
    return (
        str(campaigns),
        f"{statistics.median(one_fold):.0f} ms",
        f"{statistics.median(all_fold):.0f} ms",
        f"{rate:,.0f} / s",
        f"{p99(read_times(database, 500)):.2f} ms",
        f"{statistics.median(recomputed['live']):.0f} ms",
        f"{statistics.median(recomputed['seed']):.0f} ms",
        f"{rebuild_seconds * 1000 / campaigns:.0f} ms",
        f"{statistics.median(poll_times(database, 300)):.2f} ms",
    )


def run(databases: Databases) -> list[Section]:
    name = databases.create()
    url = databases.server.url(name)
    create_schema(url, "public")
    rows: list[tuple[str, ...]] = []
    loaded = 0
    for campaigns in SIZES:
        # load() takes the first campaign numbers from the seed, so each step uses another seed.
        databases.load(url, campaigns - loaded, 1 if not loaded else 1000 + campaigns)
        loaded = campaigns
        with psycopg.connect(url, autocommit=True) as connection:
            database = Database(url, connection)
            last = database.value("SELECT max(id) FROM message_status_logs")
            migrate(url, UNFROZEN)
            rebuilt = milliseconds(database.drain) / 1000
            connection.execute("VACUUM ANALYZE")
            rows.append(_measured(database, campaigns, rebuilt, int(100_000 * databases.scale)))
            # Restores the state for the next size.
            connection.execute("DROP SCHEMA headrace, seed CASCADE")
            connection.execute("DELETE FROM message_status_logs WHERE id > %s", [last])
            connection.execute("VACUUM ANALYZE")
    databases.drop(name)
    return [Section("Scaling with the number of campaigns", rows, COLUMNS)]
