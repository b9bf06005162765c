"""The definition of the statistics in plain Python, from the source rows: independent of the SQL under test."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import psycopg

COUNTERS = ("total", "sent", "delivered", "read", "replied", "failed", "failed_queue")
Stats = dict[tuple[Any, Any], tuple[int, ...]]


def recompute(connection: psycopg.Connection[Any], window: timedelta = timedelta(days=7)) -> Stats:
    """(campaign id, template) to counters in the order of COUNTERS, from everything this transaction sees.

    Tables are found by the connection's search_path; ids may be of any type that the contract accepts.
    """
    campaigns = {row[0] for row in connection.execute("SELECT id FROM campaigns")}
    # In UTC: Python subtracts the wall clocks of two times in one zone, whatever its clocks did in between.
    connection.execute("SET timezone = 'UTC'")
    queue = connection.execute(
        "SELECT id, campaign_id, template_name, status, whatsapp_message_id, user_phone, whatsapp_number_id,"
        " coalesce(sent_at, created_at) FROM send_queue"
    ).fetchall()
    statuses: dict[str, set[str]] = defaultdict(set)
    for message_id, status in connection.execute(
        "SELECT whatsapp_message_id, status FROM message_status_logs"
    ):
        if message_id is not None:
            statuses[message_id].add(status)
    columns = connection.execute("SELECT * FROM messages LIMIT 0").description or ()
    reference_column = "context_message_id" if "context_message_id" in {c.name for c in columns} else "NULL"
    incoming = connection.execute(
        f"SELECT user_phone, whatsapp_number_id, created_at, {reference_column} FROM messages"
        " WHERE direction = 'incoming'"
    ).fetchall()

    def came(message_id: str | None, *wanted: str) -> bool:
        return message_id is not None and not statuses[message_id].isdisjoint(wanted)

    sent = {row[0]: row[3] == "sent" or came(row[4], "sent", "delivered", "read", "played") for row in queue}
    # Indexed, so that hundreds of thousands of rows take seconds.
    by_message_id: dict[str, set[Any]] = defaultdict(set)
    conversations: dict[tuple[str, str], list[tuple[datetime, Any]]] = defaultdict(list)
    for row_id, _, _, _, message_id, phone, number, at in queue:
        if message_id is not None:
            by_message_id[message_id].add(row_id)
        if sent[row_id] and phone is not None and number is not None:
            conversations[phone, number].append((at, row_id))
    for messages in conversations.values():
        messages.sort()
    replied = set()
    for phone, number, at, reference in incoming:
        if reference is not None:
            replied |= by_message_id.get(reference, set())
            continue
        messages = conversations.get((phone, number), [])
        before = bisect_left(messages, at, key=lambda message: message[0])
        if before:
            sent_at, row_id = messages[before - 1]
            if at - sent_at <= window:
                replied.add(row_id)

    counters: dict[tuple[Any, Any], list[int]] = defaultdict(lambda: [0] * len(COUNTERS))
    for row_id, campaign, template, status, message_id, *_ in queue:
        if campaign not in campaigns:
            continue
        delivered = came(message_id, "delivered", "read", "played")
        counts = (
            True,
            sent[row_id],
            delivered,
            came(message_id, "read", "played"),
            sent[row_id] and row_id in replied,
            not delivered and (status == "failed" or came(message_id, "failed")),
            not delivered and status == "failed",
        )
        bucket = counters[campaign, template]
        for position, counted in enumerate(counts):
            bucket[position] += counted
    return {key: tuple(values) for key, values in counters.items()}


def stored(connection: psycopg.Connection[Any]) -> Stats:
    return _read(connection, "headrace.campaign_template_stats")


def live(connection: psycopg.Connection[Any]) -> Stats:
    return _read(connection, "headrace.campaign_template_stats_live")


def _read(connection: psycopg.Connection[Any], relation: str) -> Stats:
    rows = connection.execute(f"SELECT campaign_id, template_name, {', '.join(COUNTERS)} FROM {relation}")
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


def documents(connection: psycopg.Connection[Any]) -> Stats:
    """The same numbers as the serving documents say them."""
    found: Stats = {}
    for campaign, templates in connection.execute(
        "SELECT campaign_id, template_stats FROM headrace.campaign_computed_stats"
    ):
        for entry in templates:
            found[campaign, entry["template_name"]] = tuple(entry[counter] for counter in COUNTERS)
    return found


def drain(connection: psycopg.Connection[Any], limit: int = 5000) -> int:
    """Steps until nothing is left, on an autocommit connection: the changes applied."""
    applied = 0
    while True:
        work = connection.execute("SELECT stream, shard, work FROM headrace.stream_poll()").fetchall()
        if not work:
            return applied
        for stream, shard, kind in work:
            if kind == "rebuild":
                connection.execute("SELECT headrace.stream_rebuild(%s)", [stream])
            else:
                row = connection.execute(
                    "SELECT changes FROM headrace.stream_step(%s, %s, %s)", [stream, shard, limit]
                ).fetchone()
                applied += row[0] if row else 0


def assert_all_agree(connection: psycopg.Connection[Any]) -> Stats:
    """Stored counters, documents and the live view say what the recompute says."""
    expected = recompute(connection)
    assert stored(connection) == expected
    assert live(connection) == expected
    assert documents(connection) == expected
    return expected
