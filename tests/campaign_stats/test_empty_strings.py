"""Empty strings in place of null: an empty message id, reference, phone or number names nothing, and costs nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.campaign_stats.oracle import assert_all_agree, drain
from tests.rows import insert

Connection = psycopg.Connection[Any]
SENT = datetime(2026, 3, 20, 11, tzinfo=UTC)


def message(app: Connection, campaign: UUID, name: str, **values: object) -> UUID:
    """A sent message with its own template and phone; it also gets its own id, unless one is given."""
    columns = {
        "template_name": name,
        "user_phone": f"phone {name}",
        "whatsapp_number_id": "n",
        "status": "sent",
        "whatsapp_message_id": f"wamid {name}",
        "sent_at": SENT,
    }
    identity: UUID = insert(app, "send_queue", campaign_id=campaign, **columns | values)
    return identity


def reply(app: Connection, phone: str, number: str = "n", **values: object) -> None:
    at = SENT + timedelta(hours=1)
    insert(
        app,
        "messages",
        user_phone=phone,
        whatsapp_number_id=number,
        direction="incoming",
        created_at=at,
        **values,
    )


def counted(app: Connection) -> dict[str, tuple[int, int]]:
    """Messages that were read and replied to, by template."""
    return {key[1]: (row[3], row[4]) for key, row in assert_all_agree(app).items()}


@pytest.fixture
def campaign(app: Connection) -> UUID:
    """Three messages: one with an id, and two whose sender stored an empty id."""
    campaign: UUID = insert(app, "campaigns", status="running")
    message(app, campaign, "one")
    message(app, campaign, "two", whatsapp_message_id="")
    message(app, campaign, "three", whatsapp_message_id="")
    drain(app)
    return campaign


def test_a_reply_with_an_empty_reference_follows_the_last_message_of_its_conversation(
    app: Connection, campaign: UUID
) -> None:
    reply(app, "phone one", context_message_id="")
    drain(app)
    assert counted(app) == {"one": (0, 1), "two": (0, 0), "three": (0, 0)}


def test_a_status_of_an_empty_id_is_a_status_of_no_message(app: Connection, campaign: UUID) -> None:
    insert(app, "message_status_logs", whatsapp_message_id="", status="read")
    drain(app)
    assert counted(app) == {"one": (0, 0), "two": (0, 0), "three": (0, 0)}


def test_a_message_that_loses_its_id_loses_its_statuses_and_references(
    app: Connection, campaign: UUID
) -> None:
    insert(app, "message_status_logs", whatsapp_message_id="wamid one", status="read")
    reply(app, "somebody else", context_message_id="wamid one")
    drain(app)
    assert counted(app)["one"] == (1, 1)
    app.execute("UPDATE message_status_logs SET whatsapp_message_id = ''")
    app.execute("UPDATE messages SET context_message_id = ''")
    drain(app)
    assert counted(app)["one"] == (0, 0)


@pytest.mark.parametrize(("phone", "number"), [("", "n"), ("phone", ""), ("", "")])
def test_who_has_no_phone_or_no_number_is_in_no_conversation(
    app: Connection, phone: str, number: str
) -> None:
    campaign = insert(app, "campaigns", status="running")
    for name in ("one", "two"):
        message(app, campaign, name, user_phone=phone, whatsapp_number_id=number)
    drain(app)
    reply(app, phone, number)
    drain(app)
    assert counted(app) == {"one": (0, 0), "two": (0, 0)}
    app.execute("UPDATE messages SET created_at = created_at + interval '1 minute'")
    app.execute("UPDATE send_queue SET sent_at = sent_at + interval '1 minute' WHERE template_name = 'one'")
    app.execute("DELETE FROM messages")
    drain(app)
    assert counted(app) == {"one": (0, 0), "two": (0, 0)}


def test_the_message_before_one_with_an_empty_id_keeps_its_reply_until_that_one_is_sent(
    app: Connection, campaign: UUID
) -> None:
    message(
        app,
        campaign,
        "later",
        user_phone="phone one",
        status="queued",
        whatsapp_message_id="",
        sent_at=SENT + timedelta(minutes=1),
    )
    insert(app, "message_status_logs", whatsapp_message_id="", status="delivered")
    reply(app, "phone one")
    drain(app)
    assert counted(app)["one"] == (0, 1)
    app.execute("UPDATE send_queue SET status = 'sent' WHERE template_name = 'later'")
    drain(app)
    assert (counted(app)["one"], counted(app)["later"]) == ((0, 0), (0, 1))


def test_empty_ids_are_no_rows_that_a_frozen_campaign_can_lose(app: Connection, campaign: UUID) -> None:
    insert(app, "message_status_logs", whatsapp_message_id="", status="read")
    reply(app, "phone two", context_message_id="")
    drain(app)
    (counts,) = app.execute("SELECT headrace.source_row_counts(%s)", [campaign]).fetchall()[0]
    assert {table: counts[table] for table in ("send_queue", "message_status_logs", "messages")} == {
        "send_queue": 3,
        "message_status_logs": 0,
        "messages": 1,
    }


def test_statuses_of_an_empty_id_are_orphans_though_queue_rows_have_it_too(
    app: Connection, campaign: UUID
) -> None:
    insert(app, "message_status_logs", whatsapp_message_id="", status="read", created_at=SENT)
    insert(app, "messages", user_phone="p", direction="outgoing", whatsapp_message_id="")
    found = app.execute(
        "SELECT status, statuses, orphaned, in_messages FROM headrace.orphaned_statuses('1 hour')"
    ).fetchall()
    assert found == [("read", 1, 1, 0)]


def test_a_batch_of_empty_ids_reads_no_row_of_the_others(app: Connection, campaign: UUID) -> None:
    """20,000 queue rows with 3,000 statuses took 67 s: each status touched each row, and each row read each status."""
    app.execute(
        "INSERT INTO send_queue (campaign_id, user_phone, whatsapp_number_id, whatsapp_message_id, status, sent_at)"
        " SELECT %s, '', '', '', 'sent', now() FROM generate_series(1, 300)",
        [campaign],
    )
    drain(app)
    app.execute("ANALYZE send_queue, message_status_logs, messages")
    app.execute(
        "INSERT INTO message_status_logs (whatsapp_message_id, status) SELECT '', 'read' FROM generate_series(1, 300)"
    )
    app.execute(
        "INSERT INTO messages (user_phone, whatsapp_number_id, direction, context_message_id)"
        " SELECT '', '', 'incoming', '' FROM generate_series(1, 300)"
    )
    app.execute("UPDATE send_queue SET template_name = 'another' WHERE user_phone = ''")
    with app.transaction():
        (step,) = app.execute(
            "SELECT status, changes FROM headrace.stream_step('campaign_stats', 0, 5000)"
        ).fetchall()
        read = app.execute(
            "SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
            " WHERE relname IN ('send_queue', 'message_status_logs', 'messages')"
        ).fetchall()
    assert step == ("applied", 900)
    # Each of the 300 rows written is read a few times by its own id; nothing is read by the empty id.
    assert {table: rows < 10 * 300 for table, rows in read} == dict.fromkeys(
        ("send_queue", "message_status_logs", "messages"), True
    )
    assert_all_agree(app)
