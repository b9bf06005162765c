"""A small campaign for tests of its life cycle: what happens to it, and what is stored and served for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from tests.campaign_stats.oracle import drain
from tests.rows import insert

Connection = psycopg.Connection[Any]
NOW = datetime.now(UTC).replace(microsecond=0)
SENT = NOW - timedelta(days=20)
LONG_AGO = NOW - timedelta(days=8)
WEEK = timedelta(days=7)
# Statements that delete rows of `a_campaign`, by the table that loses them.
PRUNED = {
    "message_status_logs": "DELETE FROM message_status_logs WHERE whatsapp_message_id = 'c0'",
    "send_queue": "DELETE FROM send_queue WHERE whatsapp_message_id = 'c0'",
    "messages": "DELETE FROM messages",
}


def a_campaign(app: Connection, name: str = "c", status: str = "running", **values: object) -> UUID:
    """A drained campaign with three messages to different phones: one read and answered, one delivered, one sent."""
    campaign: UUID = insert(app, "campaigns", name=name, status=status, **values)
    for number, statuses in enumerate((("read", "delivered"), ("delivered",), ())):
        insert(
            app,
            "send_queue",
            campaign_id=campaign,
            user_phone=f"{name} phone {number}",
            whatsapp_number_id="n",
            template_name="t",
            status="sent",
            whatsapp_message_id=f"{name}{number}",
            sent_at=SENT,
        )
        for minutes, provider_status in enumerate(statuses, 1):
            report(app, f"{name}{number}", provider_status, SENT + timedelta(minutes=minutes))
    reply(app, f"{name} phone 0", SENT + timedelta(hours=2))
    drain(app)
    return campaign


def report(app: Connection, message: str, status: str, at: datetime = NOW) -> None:
    insert(app, "message_status_logs", whatsapp_message_id=message, status=status, created_at=at)


def reply(app: Connection, phone: str, at: datetime) -> None:
    insert(app, "messages", user_phone=phone, whatsapp_number_id="n", direction="incoming", created_at=at)


def set_status(app: Connection, campaign: UUID, status: str, completed_at: object = None) -> None:
    app.execute(
        "UPDATE campaigns SET status = %s, completed_at = %s WHERE id = %s", [status, completed_at, campaign]
    )
    drain(app)


def frozen_campaign(app: Connection, name: str = "c") -> UUID:
    campaign = a_campaign(app, name)
    set_status(app, campaign, "completed", LONG_AGO)
    assert state(app, campaign) == "frozen"
    return campaign


def value(app: Connection, statement: str, *parameters: object) -> Any:
    row = app.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    return row[0]


def state(app: Connection, campaign: UUID) -> str:
    """The campaign's state in Headrace; its document, if there is one, must say the same."""
    found = value(app, "SELECT state FROM headrace.campaign WHERE campaign_id = %s", campaign)
    documents = app.execute(
        "SELECT state FROM headrace.campaign_computed_stats WHERE campaign_id = %s", [campaign]
    ).fetchall()
    assert documents in ([], [(found,)])
    return str(found)


def document(app: Connection, campaign: UUID) -> dict[str, Any]:
    """The document as it is served, without its age."""
    found = value(app, "SELECT headrace.campaign_stats(%s) - 'age_seconds'", campaign)
    assert isinstance(found, dict)
    return found


def numbers(app: Connection, campaign: UUID) -> tuple[Any, ...]:
    found = document(app, campaign)
    return found["version"], found["totals"], found["template_stats"]


def totals(app: Connection, campaign: UUID, *counters: str) -> tuple[Any, ...]:
    return tuple(document(app, campaign)["totals"][counter] for counter in counters)


def amendments(app: Connection, campaign: UUID) -> list[dict[str, Any]]:
    cursor = app.execute(
        "SELECT version, template_stats, totals, checksum, changed, why FROM headrace.campaign_stats_amendment"
        " WHERE campaign_id = %s ORDER BY id",
        [campaign],
    )
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def waiting(app: Connection) -> dict[UUID, int]:
    """Campaigns whose amendment waits for a decision, and how often something asked for it."""
    return dict(
        app.execute("SELECT campaign_id, times FROM headrace.campaign_stats_pending_amendment").fetchall()
    )


def operate(app: Connection, function: str, campaign: UUID, *parameters: object) -> int:
    marks = "".join(", %s" for _ in parameters)
    return int(value(app, f"SELECT headrace.{function}(ARRAY[%s]::uuid[]{marks})", campaign, *parameters))


def times(app: Connection, campaign: UUID) -> tuple[Any, ...]:
    row = app.execute(
        "SELECT completed_at, settles_until FROM headrace.campaign WHERE campaign_id = %s", [campaign]
    ).fetchone()
    assert row is not None
    return row


def announced(app: Connection) -> list[UUID]:
    rows = app.execute("SELECT campaign_id FROM headrace.campaign_completion ORDER BY id")
    return [row[0] for row in rows]


def held(app: Connection, campaign: UUID) -> dict[str, int]:
    tables = ("message_outcome", "campaign_latency", "campaign_hourly_stats", "campaign_template_stats")
    return {
        table: value(app, f"SELECT count(*) FROM headrace.{table} WHERE campaign_id = %s", campaign)
        for table in tables
    }
