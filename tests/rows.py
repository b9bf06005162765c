"""Rows of the example application for tests: single ones by name, and one small history in which every counter counts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql


def insert(connection: psycopg.Connection[Any], table: str, schema: str = "public", **values: object) -> Any:
    """Inserts one row; returns its id."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
        sql.Identifier(schema, table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(sql.Placeholder() * len(values)),
    )
    row = connection.execute(statement, list(values.values())).fetchone()
    assert row is not None
    return row[0]


def a_history(connection: psycopg.Connection[Any], schema: str = "public") -> list[UUID]:
    """Two campaigns that write to the same people, with statuses of every kind, replies and a reference; returns their ids."""
    source = sql.Identifier(schema)
    campaigns = [
        insert(connection, "campaigns", schema, name=name, status="running") for name in ("first", "second")
    ]
    for n, campaign in enumerate(campaigns):
        connection.execute(
            sql.SQL("""
                INSERT INTO {}.send_queue
                    (campaign_id, user_phone, whatsapp_number_id, template_name, status, whatsapp_message_id, sent_at, created_at)
                SELECT %(campaign)s, 'phone ' || i, 'number', 'template ' || i %% 2,
                    CASE i %% 5 WHEN 0 THEN 'failed' WHEN 1 THEN 'queued' ELSE 'sent' END, %(prefix)s || i,
                    timestamptz '2026-03-01 12:00+00' + make_interval(hours => i, mins => %(minutes)s), '2026-03-01 11:00+00'
                FROM generate_series(1, 20) i
            """).format(source),
            {"campaign": campaign, "prefix": f"wamid.{n}.", "minutes": n * 10},
        )
        connection.execute(
            sql.SQL("""
                INSERT INTO {}.message_status_logs (whatsapp_message_id, status)
                SELECT %(prefix)s || i, (ARRAY['read', 'delivered', 'failed', 'sent', 'played', 'unheard of'])[1 + i %% 6]
                FROM generate_series(1, 18) i
            """).format(source),
            {"prefix": f"wamid.{n}."},
        )
    connection.execute(
        sql.SQL("""
            INSERT INTO {}.messages (user_phone, whatsapp_number_id, direction, created_at)
            SELECT 'phone ' || i, 'number', CASE i % 4 WHEN 0 THEN 'outgoing' ELSE 'incoming' END,
                timestamptz '2026-03-01 12:05+00' + make_interval(hours => i, days => i % 10)
            FROM generate_series(1, 20) i
        """).format(source)
    )
    return campaigns
