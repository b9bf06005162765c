"""Whatever strangers write into the application's and Headrace's rows: the output of commands cannot control the terminal."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any
from unicodedata import category

import psycopg
import pytest
from psycopg import sql

from orchestration.engine.stream import drain
from tests.commands import run
from tests.rows import a_history, insert

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b2J\r\n\x7f\u202eevil\u2028\u2066\x85line"
# No stranger's text: what Headrace notes about itself, and must be able to read.
OURS = {"installation", "schema_version", "stream", "stream_cursor"}


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def plant(admin: psycopg.Connection[Any], schema: str) -> set[str]:
    """Appends the text to every text column of the schema that accepts it, and returns those columns."""
    columns = admin.execute(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND a.atttypid = 'text'::regtype"
        " AND NOT c.relispartition",
        [schema],
    ).fetchall()
    taken = set()
    for table, column in columns:
        if table in OURS:
            continue
        try:
            done = admin.execute(
                sql.SQL("UPDATE {table} SET {column} = coalesce({column}, '') || %s").format(
                    table=sql.Identifier(schema, table), column=sql.Identifier(column)
                ),
                [HOSTILE],
            )
        except psycopg.errors.IntegrityError:
            continue
        if done.rowcount:
            taken.add(f"{table}.{column}")
    return taken


def harmless(printed: str, *, terminal: bool) -> bool:
    """Whether it holds nothing but text, line breaks and tabs; on a terminal, our own colours are allowed too."""
    text = re.sub(r"\x1b\[[\d;]*m", "", printed) if terminal else printed
    return not [
        letter
        for letter in text
        if letter not in "\n\t" and category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]


def test_no_text_of_a_stranger_controls_the_terminal_whatever_command_shows_it(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    first, second = a_history(admin)
    for table in ("campaigns", "send_queue"):  # another application may lack these constraints
        admin.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_status_check")
    planted = plant(admin, "public")
    assert planted >= {
        "campaigns.name",
        "campaigns.status",
        "send_queue.template_name",
        "send_queue.status",
        "message_status_logs.status",
        "messages.direction",
    }
    admin.execute("UPDATE send_queue SET status = 'sent'")
    admin.execute(
        "UPDATE message_status_logs SET status = 'read', whatsapp_message_id = q.whatsapp_message_id FROM send_queue q"
    )
    asyncio.run(drain(database))
    admin.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [first])
    with admin.transaction():
        admin.execute("SELECT set_config('headrace.cause', %s, true)", [HOSTILE])
        insert(admin, "send_queue", campaign_id=first, template_name="t" + HOSTILE)
    asyncio.run(drain(database))
    admin.execute("DELETE FROM message_status_logs")
    asyncio.run(drain(database))
    admin.execute(
        "INSERT INTO headrace.dead_letter (stream, shard, pos, entity_id, status, change, error_code, error, attempts)"
        " SELECT 'campaign_stats', 0, l.pos, l.entity_id, 'failed', l, '22000', 'no', 1 FROM headrace.change_log l LIMIT 1"
    )
    admin.execute(
        "UPDATE headrace.campaign SET rebuild_error = 'no', rebuild_failures = 1 WHERE campaign_id = %s",
        [second],
    )
    admin.execute(
        "SELECT headrace.worker_heartbeat('w', 'host', 1, 'running', ARRAY['campaign_stats'], 1, '1')"
    )
    message = {"id": "w" + HOSTILE, "type": "text", "from": "1" + HOSTILE, "timestamp": HOSTILE}
    value = {"metadata": {"phone_number_id": "1"}, "messages": [message]}
    body = {
        "object": "whatsapp_business_account",
        "entry": [{"changes": [{"field": "messages", "value": value}]}],
    }
    admin.execute("SELECT headrace.ingest_whatsapp_webhook(%s)", [json.dumps(body)])
    planted = plant(admin, "headrace")
    assert planted >= {
        "dead_letter.error",
        "campaign.rebuild_error",
        "worker.hostname",
        "webhook_reject.reason",
    }
    admin.execute(
        sql.SQL("CREATE VIEW public.{} AS SELECT * FROM headrace.campaign_template_stats").format(
            sql.Identifier(HOSTILE)
        )
    )
    admin.execute(sql.SQL("ALTER TABLE messages RENAME direction TO {}").format(sql.Identifier(HOSTILE)))

    commands = [
        ("stats",),
        ("stats", str(first)),
        ("stats", str(second)),
        ("campaigns", "list"),
        ("campaigns", "amendments"),
        ("campaigns", "amendments", str(first)),
        ("streams",),
        ("dead-letters", "list"),
        ("webhooks", "rejects", "list"),
        ("doctor",),
    ]
    quoting = [
        ("migrate",),
        ("migrate", "--check"),
        ("uninstall", "--yes"),
        ("rebuild", str(second)),
        ("campaigns", "reopen", str(first)),
        ("campaigns", "amend", str(first), "--accept"),
        ("stats", HOSTILE),
        ("streams", "rebase", HOSTILE),
        ("worker", "--until-idle", "--streams", HOSTILE),
    ]
    for terminal in (False, True):
        colours = {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm-256color"} if terminal else {}
        for command in commands + quoting:
            result = run(*command, HEADRACE_DATABASE_URL=database, **colours)
            assert not isinstance(result.exception, Exception), (command, result.exception)
            assert harmless(result.output, terminal=terminal), (command, result.output)
    seen = {command: run(*command, HEADRACE_DATABASE_URL=database).output for command in commands}
    for command, printed in seen.items():
        if command != ("streams",) and command[:2] != ("campaigns", "amendments"):
            assert "evil" in printed, command
    for command in commands:
        printed = run(*command, "--json", HEADRACE_DATABASE_URL=database).stdout
        if command != ("streams",):
            assert printed.isascii()
            assert not set(printed) & set(map(chr, [*range(10), *range(11, 32), 127]))
            assert "evil" in json.dumps(json.loads(printed)) or command[1:2] == ("amendments",)
