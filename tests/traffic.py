"""A working application for tests: writers whose transactions touch several tables, in the order of their business."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from tests.rows import insert
from tests.sessions import InThread


@contextmanager
def traffic(
    url: str, campaigns: Sequence[UUID], schema: str = "public", writers: int = 3
) -> Iterator[list[float]]:
    """Writes until the block ends: sends, statuses (late, twice), replies, edits and deletions.

    Yields:
        how many seconds each transaction took; complete only after the block. A failed transaction fails the block.
    """
    over = threading.Event()
    seconds: list[float] = []

    def write(number: int) -> None:
        chance = random.Random(number)
        messages: list[str] = []
        with psycopg.connect(url, prepare_threshold=None) as application:
            while not over.is_set():
                began = time.monotonic()
                _transaction(application, schema, chance, campaigns, messages)
                application.commit()
                seconds.append(time.monotonic() - began)
                over.wait(0.01)

    threads = [InThread(lambda number=number: write(number)) for number in range(writers)]  # type: ignore[misc]
    try:
        yield seconds
    finally:
        over.set()
    for thread in threads:
        thread.outcome()


def _transaction(
    application: psycopg.Connection[Any],
    schema: str,
    chance: random.Random,
    campaigns: Sequence[UUID],
    messages: list[str],
) -> None:
    campaign, phone = chance.choice(campaigns), f"phone {chance.randrange(50)}"
    messages.append(f"wamid.{uuid.uuid4()}")
    insert(
        application,
        "send_queue",
        schema,
        campaign_id=campaign,
        user_phone=phone,
        whatsapp_number_id="number",
        template_name=f"template {chance.randrange(2)}",
        status=chance.choice(("queued", "sent", "failed")),
        whatsapp_message_id=messages[-1],
    )
    for _ in range(chance.randrange(3)):
        status = chance.choice(("sent", "delivered", "read", "failed"))
        insert(
            application,
            "message_status_logs",
            schema,
            whatsapp_message_id=chance.choice(messages),
            status=status,
        )
    insert(
        application, "messages", schema, user_phone=phone, whatsapp_number_id="number", direction="incoming"
    )
    changes = (
        ("UPDATE {}.campaigns SET status = 'paused' WHERE id = %s", campaign),
        ("UPDATE {}.send_queue SET status = 'sent' WHERE whatsapp_message_id = %s", messages[0]),
        ("DELETE FROM {}.send_queue WHERE whatsapp_message_id = %s", messages[-1]),
    )
    if (which := chance.randrange(6)) < len(changes):
        statement, value = changes[which]
        application.execute(sql.SQL(statement).format(sql.Identifier(schema)), [value])
