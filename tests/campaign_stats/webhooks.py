"""Bodies of webhooks as the provider sends them, and what became of them. Not here: the expected results."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

Connection = psycopg.Connection[Any]


def ingest(connection: Connection, body: object) -> dict[str, Any]:
    row = connection.execute(
        "SELECT headrace.ingest_whatsapp_webhook(p_body => %s)", [Jsonb(body)]
    ).fetchone()
    assert row is not None
    answer: dict[str, Any] = row[0]
    return answer


def envelope(*values: object, number: str = "100") -> dict[str, Any]:
    """A body with one entry and change for each value."""
    return {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": "1",
                "changes": [
                    {
                        "field": "messages",
                        "value": {"metadata": {"phone_number_id": number}, **value}
                        if isinstance(value, dict)
                        else value,
                    }
                ],
            }
            for value in values
        ],
    }


def status(
    message: str = "wamid.1", name: str = "delivered", at: object = "1700000000", **more: object
) -> dict[str, Any]:
    return {"id": message, "status": name, "timestamp": at, **more}


def message(
    id: str = "wamid.in", phone: str = "4917", at: object = "1700000000", **more: object
) -> dict[str, Any]:
    return {"from": phone, "id": id, "timestamp": at, "type": "text", "text": {"body": "yes"}, **more}


def counts(stored: int = 0, repeated: int = 0, suppressed: int = 0) -> dict[str, int]:
    """What an answer says about one kind of item."""
    return {"stored": stored, "repeated": repeated, "suppressed": suppressed}


def rejects(connection: Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT path, reason FROM headrace.webhook_reject ORDER BY id").fetchall()
