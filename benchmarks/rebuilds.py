"""Many campaigns, large campaigns, campaigns with many templates: the cost of each, which should be linear."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from benchmarks.databases import Database, Databases
from benchmarks.report import Section
from benchmarks.timing import times_in_turn
from orchestration.demo.campaign_stats.load import campaign_id

CAMPAIGNS = 100_000
TEMPLATES = (5_000, 100_000)
LONG_NAMES = 1_300
ONE = "00000000-0000-0000-0000-00000000000a"


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _many_campaigns(databases: Databases) -> tuple[str, ...]:
    number = int(CAMPAIGNS * databases.scale)
    with databases.database() as database:
        database.connection.execute(
            "INSERT INTO campaigns (name, status) SELECT 'c' || n, 'running' FROM generate_series(1, %s) n",
            [number],
        )
        database.connection.execute(
            "INSERT INTO send_queue (campaign_id, template_name, status, whatsapp_message_id, sent_at)"
            " SELECT id, 't', 'sent', name, now() FROM campaigns"
        )
        database.connection.execute(
            "INSERT INTO message_status_logs (whatsapp_message_id, status) SELECT name, 'delivered' FROM campaigns"
        )
        seconds = _seconds(database.drain)
        database.assert_right()
    return (
        f"{number:,} campaigns of one message, inserted in one statement: messages, statuses and first counts applied",
        f"{number / seconds:,.0f} campaigns / s",
        "",
        "",
        "≥ 1,000 / s",
    )


def _templates(database: Database, number: int) -> float:
    database.connection.execute("INSERT INTO campaigns (id, status) VALUES (%s, 'running')", [ONE])
    database.drain()
    database.connection.execute(
        "INSERT INTO send_queue (campaign_id, template_name, status)"
        " SELECT %s, 'template ' || n, 'sent' FROM generate_series(1, %s) n",
        [ONE, number],
    )
    seconds = _seconds(database.drain)
    database.assert_right()
    return seconds


def _many_templates(databases: Databases) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    each: list[float] = []
    for number in TEMPLATES:
        messages = int(number * databases.scale)
        with databases.database() as database:
            seconds = _templates(database, messages)
        each.append(seconds / messages)
        ratio = f"{each[-1] / each[0]:.2f}" if len(each) > 1 else ""
        rows.append(
            (
                f"{messages:,} templates in one campaign, in one statement",
                f"{seconds:.1f} s, {each[-1] * 1e6:,.0f} µs each",
                f"{each[0] * 1e6:,.0f} µs each, of {TEMPLATES[0] * databases.scale:,.0f}" if ratio else "",
                ratio,
                "linear" if ratio else "",
            )
        )
    return rows


def _long_names(databases: Databases) -> tuple[str, ...]:
    number = int(LONG_NAMES * databases.scale)
    with databases.database() as database:
        connection = database.connection
        connection.execute("INSERT INTO campaigns (id, status) VALUES (%s, 'running')", [ONE])
        database.drain()
        connection.execute(
            "CREATE TABLE name AS SELECT string_agg(md5(n::text), '') AS text FROM generate_series(1, 32768) n"
        )
        connection.execute(
            "INSERT INTO send_queue (campaign_id, template_name, status)"
            " SELECT %s, n || text, 'sent' FROM generate_series(1, %s) n, name",
            [ONE, number],
        )
        before = database.value("SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()")
        seconds = _seconds(database.drain)
        connection.execute("SELECT pg_stat_force_next_flush()")
        spilled = (
            database.value("SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()")
            - before
        )
        assert database.value("SELECT sum(total) FROM headrace.campaign_template_stats") == number
    return (
        f"{number:,} template names of 1 MB each",
        f"{seconds:.1f} s, {spilled / 1e6:,.0f} MB of temporary files",
        "",
        "",
        "",
    )


def _first_count(databases: Databases) -> tuple[str, ...]:
    campaign = campaign_id(1, 0)
    with databases.database(1) as database:
        database.run_file("seeds/function.sql", "seed")
        connection = database.connection

        def forget() -> None:
            connection.execute("TRUNCATE headrace.message_outcome, headrace.campaign_template_stats")
            connection.execute("TRUNCATE headrace.campaign_hour, headrace.campaign_latency")

        def count() -> None:
            connection.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [campaign])

        firsts = []
        for _ in range(5):
            forget()
            firsts.append(_seconds(count))
        times = times_in_turn(
            5,
            {
                "function": lambda: connection.execute(
                    "SELECT * FROM seed.get_campaign_template_stats(%s)", [campaign]
                ).fetchall()
            },
        )
        database.assert_right()
    ours, seeds = statistics.median(firsts), statistics.median(times["function"])
    return (
        "first count of a campaign: computed and stored",
        f"{ours * 1000:.0f} ms",
        f"{seeds:.0f} ms, the seed's function",
        f"{ours * 1000 / seeds:.2f}",
        "reported",
    )


def run(databases: Databases) -> list[Section]:
    return [
        Section(
            "Campaigns that are many, or of many templates",
            [
                _first_count(databases),
                _many_campaigns(databases),
                *_many_templates(databases),
                _long_names(databases),
            ],
        )
    ]
