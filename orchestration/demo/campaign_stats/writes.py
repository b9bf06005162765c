"""What the simulated application writes: each action is one statement, or one transaction.

Here: the SQL, and whether the tables are the example's. Not here: what happens (`actors.py`) and when
(`simulate.py`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from orchestration.database.connections import connected
from orchestration.database.statements import statement
from orchestration.demo.campaign_stats.actions import (
    ERRORS,
    Action,
    CampaignDeleted,
    CampaignMade,
    CampaignMoved,
    IdStored,
    LogDeleted,
    LogEdited,
    MessageCame,
    MessageSent,
    MessagesImported,
    MessagesQueued,
    RowDeleted,
    RowEdited,
    WebhookCame,
    message_body,
    status_body,
)
from orchestration.demo.campaign_stats.load import COLUMNS
from orchestration.errors import HeadraceError

_STATEMENTS = {
    "make campaign": "INSERT INTO {campaigns} (id, name, status) VALUES (%s, %s, 'draft')",
    "make contacts": """
        INSERT INTO {campaign_contacts} (id, campaign_id, user_phone, template_name)
        SELECT c.id, %s, c.phone, c.template FROM unnest(%s::uuid[], %s::text[], %s::text[]) c (id, phone, template)
    """,
    "move campaign": "UPDATE {campaigns} SET status = %s, completed_at = coalesce(%s, completed_at) WHERE id = %s",
    "complete campaigns": "UPDATE {campaigns} SET status = 'completed', completed_at = %s WHERE id = ANY (%s)",
    "delete campaign": "DELETE FROM {campaigns} WHERE id = %s",
    "queue": """
        INSERT INTO {send_queue} (id, campaign_id, user_phone, whatsapp_number_id, template_name)
        SELECT m.id, %s, m.phone, m.number, m.template
        FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) m (id, phone, number, template)
    """,
    "import": """
        INSERT INTO {send_queue}
            (id, campaign_id, user_phone, whatsapp_number_id, template_name, whatsapp_message_id, sent_at, created_at, status)
        SELECT m.id, %s, m.phone, m.number, m.template, m.wamid, m.sent_at, m.sent_at, 'sent'
        FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
            m (id, phone, number, template, wamid, sent_at)
    """,
    "send": "UPDATE {send_queue} SET status = %s, whatsapp_message_id = %s, sent_at = %s WHERE id = %s",
    "store id": "UPDATE {send_queue} SET whatsapp_message_id = %s WHERE id = %s",
    "log": """
        INSERT INTO {message_status_logs} (whatsapp_message_id, status, created_at, errors)
        SELECT s.wamid, s.status, s.at, CASE s.status WHEN 'failed' THEN %s::jsonb END
        FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) s (wamid, status, at)
    """,
    "message": """
        INSERT INTO {messages}
            (id, whatsapp_message_id, user_phone, whatsapp_number_id, direction, created_at, context_message_id)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
    """,
    "edit template_name": "UPDATE {send_queue} SET template_name = %s WHERE id = %s",
    "edit user_phone": "UPDATE {send_queue} SET user_phone = %s WHERE id = %s",
    "edit status": "UPDATE {send_queue} SET status = %s WHERE id = %s",
    "edit log": """
        UPDATE {message_status_logs} SET status = %s
        WHERE id = (SELECT l.id FROM {message_status_logs} l WHERE l.whatsapp_message_id = %s ORDER BY l.id LIMIT 1)
    """,
    "delete row": "DELETE FROM {send_queue} WHERE id = %s",
    "delete log": """
        DELETE FROM {message_status_logs}
        WHERE id = (SELECT l.id FROM {message_status_logs} l WHERE l.whatsapp_message_id = %s ORDER BY l.id LIMIT 1)
    """,
    "take in": "SELECT headrace.ingest_whatsapp_webhook(%s)",
}

# Looked up step by step: asking about a function in a schema that is missing, or closed to this role, is an error.
_INTAKE = """
    SELECT CASE WHEN has_schema_privilege(to_regnamespace('headrace')::oid, 'USAGE') THEN coalesce(
        has_function_privilege(to_regprocedure('headrace.ingest_whatsapp_webhook(jsonb)')::oid, 'EXECUTE'), false)
    ELSE false END
"""


@dataclass(frozen=True)
class Intake:
    """The answer of Headrace's intake to a raw webhook: items already known, and items it rejected."""

    repeated: int = 0
    rejected: int = 0


def require_example(url: str, source_schema: str) -> None:
    """Makes sure that the tables are the example's: a real application would send queued rows to people.

    Raises:
        HeadraceError: a table is missing, or has other columns.
    """
    with connected(url) as connection:
        found = connection.execute(
            statement("demo", "columns_of_tables"), {"schema": source_schema, "tables": list(COLUMNS)}
        ).fetchall()
    columns = {table: set(names) for table, names in found}
    for table, expected in COLUMNS.items():
        if columns.get(table) != {"id", *expected}:
            raise HeadraceError(
                f"Table {table} in schema {source_schema} is not the example's, and the simulator writes to no "
                "other: have the example's made (`headrace demo schema`), in a schema of their own if need be "
                "(HEADRACE_SOURCE_SCHEMA)."
            )


class Writer:
    """Writes actions through one connection in autocommit mode.

    If `write` raises psycopg.Error, the action left nothing behind, unless the connection broke during the commit.
    """

    def __init__(
        self,
        connection: psycopg.AsyncConnection,
        source_schema: str,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.connection = connection
        self._sleep = sleep
        tables = {table: sql.Identifier(source_schema, table) for table in COLUMNS}
        self._statements = {name: sql.SQL(text).format(**tables) for name, text in _STATEMENTS.items()}

    async def has_intake(self) -> bool:
        """Whether raw webhooks can be taken in: the function exists, and this role may call it."""
        cursor = await self.connection.execute(_INTAKE)
        row = await cursor.fetchone()
        return row is not None and row[0]

    async def complete(self, campaigns: Sequence[Any], at: float) -> None:
        await self._run("complete campaigns", _time(at), list(campaigns))

    async def write(self, action: Action) -> Intake:
        match action:
            case CampaignMade(campaign=campaign, contacts=contacts):
                async with self.connection.transaction():
                    await self._run("make campaign", campaign.id, campaign.name)
                    await self._run("make contacts", campaign.id, *_columns(contacts))
            case CampaignMoved(campaign=campaign, status=status, at=at):
                completed = _time(at) if status == "completed" else None
                await self._run("move campaign", status, completed, campaign.id)
            case CampaignDeleted(campaign=campaign):
                await self._run("delete campaign", campaign.id)
            case MessagesQueued(campaign=campaign, messages=messages, hold=hold):
                rows = [(m.id, m.phone, m.number, m.template) for m in messages]
                async with self.connection.transaction():
                    await self._run("queue", campaign.id, *_columns(rows))
                    if hold:
                        await self._sleep(hold)
            case MessagesImported(campaign=campaign, messages=messages, sent_at=times):
                imported = [
                    (m.id, m.phone, m.number, m.template, m.wamid, _time(at))
                    for m, at in zip(messages, times, strict=True)
                ]
                await self._run("import", campaign.id, *_columns(imported))
            case MessageSent(message=message):
                wamid = message.wamid if action.stores_id else None
                sent_at = None if action.sent_at is None else _time(action.sent_at)
                await self._run("send", action.status, wamid, sent_at, message.id)
            case IdStored(message=message):
                await self._run("store id", message.wamid, message.id)
            case WebhookCame(statuses=statuses, raw=True):
                return await self._take_in(status_body(statuses))
            case WebhookCame(statuses=statuses):
                logged = [(s.wamid, s.status, _time(s.at)) for s in statuses]
                await self._run("log", json.dumps(ERRORS), *_columns(logged))
            case MessageCame(raw=True):
                return await self._take_in(message_body(action))
            case MessageCame():
                await self._run(
                    "message",
                    *(action.id, action.wamid, action.phone, action.number, action.direction),
                    *(_time(action.at), action.reference),
                )
            case RowEdited(message=message, column=column, value=value):
                await self._run(f"edit {column}", value, message.id)
            case LogEdited(message=message, status=status):
                await self._run("edit log", status, message.wamid)
            case RowDeleted(message=message):
                await self._run("delete row", message.id)
            case LogDeleted(message=message):
                await self._run("delete log", message.wamid)
        return Intake()

    async def _take_in(self, body: dict[str, Any]) -> Intake:
        cursor = await self._run("take in", Jsonb(body))
        row = await cursor.fetchone()
        assert row is not None
        answer = row[0]
        repeated = answer["statuses"]["repeated"] + answer["messages"]["repeated"]
        return Intake(repeated, len(answer["rejected"]))

    async def _run(self, statement: str, *parameters: object) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        return await self.connection.execute(self._statements[statement], parameters)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
