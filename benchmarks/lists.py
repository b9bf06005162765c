"""Pages of campaigns at any depth, and statistics of templates across campaigns: time in the database, with 100,000 campaigns."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.databases import Database, Databases
from benchmarks.report import Section
from benchmarks.timing import database_times, p99

CAMPAIGNS = 100_000
USERS = 50
PAGE = 20


def fill(database: Database, campaigns: int) -> None:
    """Writes frozen campaigns of 50 users, three for each creation time, in bulk and bypassing the triggers."""
    connection = database.connection
    connection.execute("ALTER TABLE campaigns DISABLE TRIGGER USER")
    connection.execute(
        "INSERT INTO campaigns (name, status, user_id, created_at)"
        " SELECT 'Campaign ' || n, 'completed', md5((n %% %s)::text)::uuid, timestamptz '2026-03-27' - make_interval(mins => n / 3)"
        " FROM generate_series(1, %s) n",
        [USERS, campaigns],
    )
    connection.execute("ALTER TABLE campaigns ENABLE TRIGGER USER")
    connection.execute(
        "INSERT INTO headrace.campaign (campaign_id, state) SELECT id, 'frozen' FROM campaigns"
    )
    connection.execute(
        "INSERT INTO headrace.campaign_template_stats"
        " (campaign_id, template_name, template_md5, total, sent, delivered, read, replied, failed, failed_queue)"
        " SELECT id, 'template ' || n, headrace.template_md5('template ' || n), 18176, 17505, 17070, 13091, 1812, 810, 630"
        " FROM campaigns, generate_series(1, 4) n"
    )
    connection.execute(
        "INSERT INTO headrace.campaign_computed_stats (campaign_id, template_stats, totals, state, checksum, frozen_at)"
        " SELECT s.campaign_id, jsonb_agg(jsonb_build_object('template_name', s.template_name) || headrace.counters_json("
        "  s.total, s.sent, s.delivered, s.read, s.replied, s.failed, s.failed_queue)),"
        "  headrace.counters_json(72704, 70020, 68280, 52364, 7248, 3240, 2520), 'frozen', '', now()"
        " FROM headrace.campaign_template_stats s GROUP BY s.campaign_id"
    )
    connection.execute("VACUUM ANALYZE")


def cursor_after(database: Database, user: Any, depth: int) -> str | None:
    """The cursor after that number of campaigns, as the function itself returns it; None: at the start."""
    if not depth:
        return None
    cursor = None
    seen = 0
    while seen < depth:
        limit = min(200, depth - seen)
        cursor = database.value(
            "SELECT headrace.list_campaign_stats(%s, %s, %s) ->> 'next_cursor'", [user, cursor, limit]
        )
        seen += limit
    assert isinstance(cursor, str)
    return cursor


def run(databases: Databases) -> list[Section]:
    campaigns = max(2 * USERS, int(CAMPAIGNS * databases.scale))
    runs = 1000 if databases.scale == 1 else 20
    rows = []
    with databases.database(0) as database:
        fill(database, campaigns)
        user = database.value("SELECT md5('1')::uuid")
        own = campaigns // USERS
        for who, owner, count in (("all", None, campaigns), ("one user's", user, own)):
            for depth in (0, count // 2, count - count // 20):
                times = database_times(
                    database.connection,
                    "SELECT headrace.list_campaign_stats(%s, %s, %s)",
                    [owner, cursor_after(database, owner, depth), PAGE],
                    runs,
                )
                what = f"page of {PAGE}, {who}, {f'after {depth:,}' if depth else 'the first'}"
                rows.append(
                    (what, f"median {statistics.median(times):.2f} ms, p99 {p99(times):.2f} ms", "≤ 5 ms")
                )
        times = database_times(
            database.connection, "SELECT headrace.list_campaign_stats(p_limit => 200)", [], runs // 10
        )
        rows.append(("page of 200, all", f"median {statistics.median(times):.1f} ms", ""))
        ranged = campaigns // 10
        since = database.value(
            "SELECT created_at FROM campaigns ORDER BY created_at DESC OFFSET %s LIMIT 1", [ranged]
        )
        for what, name in (("all templates", None), ("one template", "template 2")):
            times = database_times(
                database.connection, "SELECT * FROM headrace.template_stats(%s, %s)", [name, since], 10
            )
            rows.append(
                (
                    f"template_stats of {ranged:,} campaigns, {what}",
                    f"median {statistics.median(times):.0f} ms",
                    "",
                )
            )
    return [
        Section(
            "Lists and ranges",
            rows,
            ("what", "in the database", "goal"),
            f"{campaigns:,} campaigns of {USERS} users, three created at each time.",
        )
    ]
