"""Which message a reply is attributed to, step by step: after each step, draining that step alone makes the stored numbers right."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.campaign_stats.oracle import assert_all_agree, drain, live, stored

START = datetime(2026, 3, 27, 12, tzinfo=UTC)
A, B = uuid.UUID(int=1), uuid.UUID(int=2)
FIRST, SECOND = uuid.UUID(int=11), uuid.UUID(int=12)
REPLIED = 4


@pytest.fixture
def app(database: str) -> psycopg.Connection[Any]:
    """Campaigns A and B; A's message to p at 0 min, answered at 10 min."""
    app = psycopg.connect(database, autocommit=True)
    app.execute("INSERT INTO campaigns (id, created_at) VALUES (%s, %s), (%s, %s)", [A, START, B, START])
    queue(app, FIRST, A, 0)
    incoming(app, 10)
    assert replies(app) == (1, 0)
    return app


def queue(
    app: psycopg.Connection[Any], row: uuid.UUID, campaign: uuid.UUID, minute: float, status: str = "sent"
) -> None:
    app.execute(
        "INSERT INTO send_queue (id, campaign_id, template_name, status, whatsapp_message_id, user_phone, whatsapp_number_id, sent_at)"
        " VALUES (%s, %s, 't', %s, %s, 'p', 'n', %s)",
        [row, campaign, status, f"m{row.int}", START + timedelta(minutes=minute)],
    )


def incoming(app: psycopg.Connection[Any], minute: float, refers_to: str | None = None) -> None:
    app.execute(
        "INSERT INTO messages (user_phone, whatsapp_number_id, direction, created_at, context_message_id)"
        " VALUES ('p', 'n', 'incoming', %s, %s)",
        [START + timedelta(minutes=minute), refers_to],
    )


def replies(app: psycopg.Connection[Any]) -> tuple[int, int]:
    """The numbers of replies of A and of B, after everything written since the last call is applied."""
    drain(app)
    stats = assert_all_agree(app)
    return tuple(sum(row[REPLIED] for key, row in stats.items() if key[0] == campaign) for campaign in (A, B))  # type: ignore[return-value]


def test_a_message_in_between_takes_the_reply_over(app: psycopg.Connection[Any]) -> None:
    queue(app, SECOND, B, 5)
    assert replies(app) == (0, 1)


def test_a_message_that_was_not_sent_takes_nothing_over_until_it_is(app: psycopg.Connection[Any]) -> None:
    queue(app, SECOND, B, 5, status="queued")
    assert replies(app) == (1, 0)
    app.execute("UPDATE send_queue SET status = 'sent' WHERE id = %s", [SECOND])
    assert replies(app) == (0, 1)


def test_a_status_of_an_unsent_row_makes_it_a_campaign_message(app: psycopg.Connection[Any]) -> None:
    queue(app, SECOND, B, 5, status="queued")
    replies(app)
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m12', 'delivered')")
    assert replies(app) == (0, 1)
    app.execute("DELETE FROM message_status_logs")
    assert replies(app) == (1, 0)


def test_a_message_that_is_deleted_gives_the_reply_back(app: psycopg.Connection[Any]) -> None:
    queue(app, SECOND, B, 5)
    replies(app)
    app.execute("DELETE FROM send_queue WHERE id = %s", [SECOND])
    assert replies(app) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        "sent_at = sent_at + interval '1 hour'",
        "user_phone = 'other'",
        "whatsapp_number_id = NULL",
        "status = 'queued'",
    ],
)
def test_a_message_that_leaves_its_place_gives_the_reply_back(
    app: psycopg.Connection[Any], change: str
) -> None:
    queue(app, SECOND, B, 5)
    assert replies(app) == (0, 1)
    app.execute(f"UPDATE send_queue SET {change} WHERE id = %s", [SECOND])
    assert replies(app) == (1, 0)


def test_a_reply_that_moves_leaves_one_owner_and_finds_another(app: psycopg.Connection[Any]) -> None:
    queue(app, SECOND, B, 20)
    assert replies(app) == (1, 0)
    app.execute("UPDATE messages SET created_at = %s", [START + timedelta(minutes=30)])
    assert replies(app) == (0, 1)
    app.execute("UPDATE messages SET direction = 'outgoing'")
    assert replies(app) == (0, 0)


def test_a_reply_that_is_deleted_is_not_counted_any_more(app: psycopg.Connection[Any]) -> None:
    app.execute("DELETE FROM messages")
    assert replies(app) == (0, 0)


def test_a_reference_wins_over_time_and_counts_for_its_target_alone(app: psycopg.Connection[Any]) -> None:
    queue(app, SECOND, B, 5)
    app.execute("UPDATE messages SET context_message_id = 'm11'")
    assert replies(app) == (1, 0)
    app.execute("UPDATE messages SET context_message_id = 'unknown'")
    assert replies(app) == (0, 0)
    app.execute("UPDATE send_queue SET whatsapp_message_id = 'unknown' WHERE id = %s", [SECOND])
    assert replies(app) == (0, 1)


def test_a_reference_counts_whatever_the_window(app: psycopg.Connection[Any]) -> None:
    app.execute("DELETE FROM messages")
    incoming(app, 60 * 24 * 30, refers_to="m11")
    assert replies(app) == (1, 0)


@pytest.mark.parametrize(
    ("after", "counted"), [(timedelta(days=7), 1), (timedelta(days=7, microseconds=1), 0)]
)
def test_the_window_ends_to_the_microsecond_also_over_a_change_of_the_clocks(
    app: psycopg.Connection[Any], after: timedelta, counted: int
) -> None:
    # Europe changes its clocks on 29 March 2026; seven days are 168 hours.
    app.execute("UPDATE messages SET created_at = %s", [START + after])
    app.execute("SET timezone = 'Europe/Berlin'")
    drain(app)
    assert {key: row[REPLIED] for key, row in live(app).items()} == {(A, "t"): counted}
    assert replies(app) == (counted, 0)


def test_of_two_messages_at_the_same_moment_the_greater_id_owns_the_reply(
    app: psycopg.Connection[Any],
) -> None:
    queue(app, SECOND, B, 0)
    assert replies(app) == (0, 1)
    app.execute("UPDATE send_queue SET id = %s WHERE id = %s", [uuid.UUID(int=5), SECOND])
    assert replies(app) == (1, 0)


def test_a_reply_at_the_very_moment_of_a_message_is_not_its_reply(app: psycopg.Connection[Any]) -> None:
    queue(app, SECOND, B, 10)
    assert replies(app) == (1, 0)


def test_times_at_the_ends_of_time_are_no_poison(app: psycopg.Connection[Any]) -> None:
    for message_at, sent_at in (
        ("infinity", "-infinity"),
        ("294276-12-31 UTC", "4713-01-01 BC"),
        ("infinity", "infinity"),
    ):
        app.execute("UPDATE messages SET created_at = %s", [message_at])
        app.execute("UPDATE send_queue SET sent_at = %s", [sent_at])
        drain(app)
        assert stored(app) == live(app) == {(A, "t"): (1, 1, 0, 0, 0, 0, 0)}
    assert app.execute("SELECT count(*) FROM headrace.dead_letter").fetchone() == (0,)
