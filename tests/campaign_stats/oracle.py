"""The definition of the statistics in plain Python, from the source rows: independent of the SQL under test."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

COUNTERS = ("total", "sent", "delivered", "read", "replied", "failed", "failed_queue")
Stats = dict[tuple[Any, Any], tuple[int, ...]]
Hours = dict[tuple[Any, datetime], tuple[int, ...]]
Medians = dict[Any, tuple[float | None, float | None]]


@dataclass(frozen=True)
class Outcome:
    """What one message counts as, in the order of COUNTERS, and since when it was sent, delivered, read and replied to."""

    campaign: Any
    template: Any
    counts: tuple[bool, ...]
    times: tuple[datetime | None, ...]


def outcomes(connection: psycopg.Connection[Any], window: timedelta = timedelta(days=7)) -> list[Outcome]:
    """Every message of a campaign that exists, from everything this transaction sees.

    Tables are found by the connection's search_path; ids may be of any type that the contract accepts.
    """
    campaigns = {row[0] for row in connection.execute("SELECT id FROM campaigns")}

    def named(value: str | None) -> str | None:
        """An id, phone or number; an empty one names nothing, like null."""
        return value or None

    # In UTC: Python subtracts wall-clock times within one zone, even if the clocks changed in between.
    connection.execute("SET timezone = 'UTC'")
    rows = connection.execute(
        "SELECT id, campaign_id, template_name, status, whatsapp_message_id, user_phone, whatsapp_number_id,"
        " coalesce(sent_at, created_at) FROM send_queue"
    )
    queue = [(*row[:4], *map(named, row[4:7]), row[7]) for row in rows]
    statuses: dict[str, dict[str, datetime]] = defaultdict(dict)
    for message_id, status, at in connection.execute(
        "SELECT whatsapp_message_id, status, created_at FROM message_status_logs"
    ):
        if named(message_id) is not None:
            statuses[message_id][status] = min(at, statuses[message_id].get(status, at))
    columns = connection.execute("SELECT * FROM messages LIMIT 0").description or ()
    reference_column = "context_message_id" if "context_message_id" in {c.name for c in columns} else "NULL"
    incoming = connection.execute(
        f"SELECT user_phone, whatsapp_number_id, created_at, {reference_column} FROM messages"
        " WHERE direction = 'incoming'"
    ).fetchall()

    def came(message_id: str | None, *wanted: str) -> bool:
        return message_id is not None and not statuses[message_id].keys().isdisjoint(wanted)

    def first(message_id: str | None, *wanted: str) -> datetime | None:
        found = [statuses[message_id][status] for status in wanted if came(message_id, status)]
        return min(found, default=None)

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
    replies: dict[Any, list[datetime]] = defaultdict(list)
    for phone, number, at, reference in incoming:
        if named(reference) is not None:
            for row_id in by_message_id.get(reference, ()):
                replies[row_id].append(at)
            continue
        messages = conversations.get((phone, number), [])
        before = bisect_left(messages, at, key=lambda message: message[0])
        if before:
            sent_at, row_id = messages[before - 1]
            if at - sent_at <= window:
                replies[row_id].append(at)

    found = []
    for row_id, campaign, template, status, message_id, _, _, at in queue:
        if campaign not in campaigns:
            continue
        delivered = came(message_id, "delivered", "read", "played")
        replied = sent[row_id] and row_id in replies
        accepted = [at] if status == "sent" else []
        reported = first(message_id, "sent", "delivered", "read", "played")
        found.append(
            Outcome(
                campaign,
                template,
                (
                    True,
                    sent[row_id],
                    delivered,
                    came(message_id, "read", "played"),
                    replied,
                    not delivered and (status == "failed" or came(message_id, "failed")),
                    not delivered and status == "failed",
                ),
                (
                    min([*accepted, *([] if reported is None else [reported])], default=None),
                    first(message_id, "delivered", "read", "played"),
                    first(message_id, "read", "played"),
                    min(replies[row_id]) if replied else None,
                ),
            )
        )
    return found


def count(found: list[Outcome]) -> Stats:
    counters: dict[tuple[Any, Any], list[int]] = defaultdict(lambda: [0] * len(COUNTERS))
    for outcome in found:
        bucket = counters[outcome.campaign, outcome.template]
        for position, counted in enumerate(outcome.counts):
            bucket[position] += counted
    return {key: tuple(values) for key, values in counters.items()}


def recompute(connection: psycopg.Connection[Any], window: timedelta = timedelta(days=7)) -> Stats:
    """(campaign id, template) to counters in the order of COUNTERS, from everything this transaction sees."""
    return count(outcomes(connection, window))


def series(found: list[Outcome]) -> Hours:
    """(campaign, UTC hour) to messages first known in it to be sent, delivered, read, replied to."""
    hours: dict[tuple[Any, datetime], list[int]] = defaultdict(lambda: [0] * 4)
    for outcome in found:
        for position, at in enumerate(outcome.times):
            if at is not None:
                hours[outcome.campaign, at.replace(minute=0, second=0, microsecond=0)][position] += 1
    return {key: tuple(values) for key, values in hours.items()}


def medians(found: list[Outcome]) -> Medians:
    """Campaign to median whole seconds from sent to delivered and to read."""
    taken: dict[Any, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for outcome in found:
        sent_at, delivered_at, read_at, _ = outcome.times
        for position, at in enumerate((delivered_at, read_at)):
            if sent_at is not None and at is not None:
                taken[outcome.campaign][position].append((at - sent_at) // timedelta(seconds=1))
    return {
        campaign: (
            statistics.median(delivered) if delivered else None,
            statistics.median(read) if read else None,
        )
        for campaign, (delivered, read) in taken.items()
    }


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
    """Steps until nothing is left, on an autocommit connection, and returns the number of changes applied."""
    applied = 0
    while True:
        work = connection.execute("SELECT stream, shard, work, what FROM headrace.stream_poll()").fetchall()
        if not work:
            return applied
        for stream, shard, kind, what in work:
            assert kind in ("change", "rebuild", "altered"), f"stream {stream} is {kind}: {what}"
            if kind == "rebuild":
                connection.execute("SELECT headrace.stream_rebuild(%s)", [stream])
            elif kind == "altered":
                connection.execute("SELECT headrace.note_altered_source(%s)", [what])
            else:
                row = connection.execute(
                    "SELECT changes FROM headrace.stream_step(%s, %s, %s)", [stream, shard, limit]
                ).fetchone()
                applied += row[0] if row else 0


def stored_series(connection: psycopg.Connection[Any]) -> Hours:
    rows = connection.execute(
        "SELECT campaign_id, hour, sent, delivered, read, replied FROM headrace.campaign_hourly_stats"
    )
    return {(row[0], row[1].astimezone(UTC)): tuple(row[2:]) for row in rows}


def stored_medians(connection: psycopg.Connection[Any]) -> Medians:
    """As the serving documents say them; campaigns without any are left out."""
    rows = connection.execute(
        "SELECT campaign_id, totals -> 'median_seconds_to_delivered', totals -> 'median_seconds_to_read'"
        " FROM headrace.campaign_computed_stats"
    )
    return {row[0]: (row[1], row[2]) for row in rows if row[1] is not None or row[2] is not None}


def assert_all_agree(connection: psycopg.Connection[Any]) -> Stats:
    """Stored counters, documents, series and the live view say what the recompute says."""
    found = outcomes(connection)
    expected = count(found)
    assert stored(connection) == expected
    assert live(connection) == expected
    assert documents(connection) == expected
    assert stored_series(connection) == series(found)
    assert stored_medians(connection) == medians(found)
    return expected
