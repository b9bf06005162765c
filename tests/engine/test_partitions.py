"""Rows that come and go with a partition fire no trigger: the stream notices that the set of partitions has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from orchestration.engine.stream import drain
from orchestration.install.doctor import diagnose
from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree
from tests.rows import a_history, insert
from tests.source_shapes import PARTITIONED_QUEUE

APRIL = "send_queue_2026_04 PARTITION OF send_queue FOR VALUES FROM ('2026-04-01 00:00+00') TO ('2026-05-01 00:00+00')"
MARCH = "send_queue ATTACH PARTITION send_queue_2026_03 FOR VALUES FROM ('2026-03-01 00:00+00') TO ('2026-04-01 00:00+00')"


@pytest.fixture
def app(app_database: str, settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A session on a database whose queue is partitioned by month; all its messages are from March, and counted."""
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute(PARTITIONED_QUEUE.encode())
        a_history(connection)
        migrate(app_database, settings)
        asyncio.run(drain(app_database))
        yield connection


def counted(url: str) -> int:
    """Brings everything up to date; returns how many campaigns that recounted."""
    return asyncio.run(drain(url)).rebuilt


def versions(app: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return app.execute(
        "SELECT campaign_id, state, version, totals FROM headrace.campaign_computed_stats ORDER BY 1"
    ).fetchall()


@pytest.mark.parametrize(
    "how",
    [
        "ALTER TABLE send_queue DETACH PARTITION send_queue_2026_03",
        "ALTER TABLE send_queue DETACH PARTITION send_queue_2026_03 CONCURRENTLY",
        "DROP TABLE send_queue_2026_03",
    ],
)
def test_rows_that_left_with_their_partition_leave_the_counters(
    how: str, app: psycopg.Connection[Any], app_database: str
) -> None:
    if "CONCURRENTLY" in how:
        app.execute("DROP TABLE send_queue_rest")  # refused while there is a DEFAULT partition
    app.execute(how.encode())
    assert counted(app_database) == 2
    assert assert_all_agree(app) == {}
    assert counted(app_database) == 0


def test_rows_that_come_with_a_partition_count(app: psycopg.Connection[Any], app_database: str) -> None:
    before = assert_all_agree(app)
    app.execute("ALTER TABLE send_queue DETACH PARTITION send_queue_2026_03")
    counted(app_database)
    app.execute(f"ALTER TABLE {MARCH}".encode())
    assert counted(app_database) == 2
    assert assert_all_agree(app) == before


def test_a_resident_worker_sees_it_at_its_next_look(app: psycopg.Connection[Any], app_database: str) -> None:
    poll = "SELECT work, what FROM headrace.stream_poll(p_look => %s)"
    app.execute("ALTER TABLE send_queue DETACH PARTITION send_queue_2026_03")
    assert app.execute(poll, [False]).fetchall() == []
    assert app.execute(poll, [True]).fetchall() == [("altered", "send_queue")]


def test_an_empty_partition_of_a_new_month_gets_its_trigger_and_nothing_is_counted_again(
    app: psycopg.Connection[Any], app_database: str, settings: Settings
) -> None:
    before = versions(app)
    app.execute(f"CREATE TABLE {APRIL}".encode())
    assert counted(app_database) == 0
    assert [problem.what for problem in diagnose(app_database, settings).errors] == [
        "capture trigger for truncate is missing on table send_queue_2026_04 (a partition of send_queue): such changes are not seen"
    ]
    done = migrate(app_database, settings)
    assert (done.changed, done.rebuilds) == (True, 0)
    assert diagnose(app_database, settings).errors == ()
    insert(app, "send_queue", campaign_id=before[0][0], created_at="2026-04-02")
    app.execute("TRUNCATE send_queue_2026_04")
    counted(app_database)
    assert_all_agree(app)


def test_a_partition_that_was_emptied_before_it_had_its_trigger_is_counted_again(
    app: psycopg.Connection[Any], app_database: str, settings: Settings
) -> None:
    (campaign,) = app.execute("SELECT id FROM campaigns LIMIT 1").fetchall()[0]
    app.execute(f"CREATE TABLE {APRIL}".encode())
    insert(app, "send_queue", campaign_id=campaign, created_at="2026-04-02")
    counted(app_database)
    app.execute("TRUNCATE send_queue_2026_04")
    assert migrate(app_database, settings).rebuilds == 2
    counted(app_database)
    assert_all_agree(app)


def test_frozen_campaigns_stand_when_the_partition_with_their_rows_goes(
    app: psycopg.Connection[Any], app_database: str, settings: Settings
) -> None:
    app.execute("SELECT headrace.freeze_campaigns(ARRAY(SELECT id FROM campaigns ORDER BY name LIMIT 1))")
    counted(app_database)
    frozen = [row for row in versions(app) if row[1] == "frozen"]
    assert len(frozen) == 1
    app.execute("DROP TABLE send_queue_2026_03")
    assert counted(app_database) == 1
    app.execute(f"CREATE TABLE {APRIL}".encode())
    assert migrate(app_database, settings).rebuilds == 0
    counted(app_database)
    assert [row for row in versions(app) if row[1] == "frozen"] == frozen
    assert app.execute("SELECT count(*) FROM headrace.campaign_stats_pending_amendment").fetchone() == (0,)


def test_rows_of_tables_that_inherit_come_and_go_too(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as app:
        a_history(app)
        asyncio.run(drain(database))
        before = assert_all_agree(app)
        app.execute("CREATE TABLE older_logs (LIKE message_status_logs INCLUDING ALL)")
        app.execute(
            "INSERT INTO older_logs (whatsapp_message_id, status) SELECT whatsapp_message_id, 'read' FROM send_queue"
        )
        app.execute("ALTER TABLE older_logs INHERIT message_status_logs")
        assert counted(database) == 2
        assert assert_all_agree(app) != before
        app.execute("ALTER TABLE older_logs NO INHERIT message_status_logs")
        assert counted(database) == 2
        assert assert_all_agree(app) == before


@pytest.mark.parametrize(
    "harmless",
    [
        "VACUUM FULL send_queue",
        "ALTER TABLE send_queue ALTER template_name SET DEFAULT 't'",
        "ALTER TABLE messages ALTER direction SET STATISTICS 100",
        "ALTER TABLE campaigns ADD archived boolean DEFAULT false",
    ],
)
def test_what_leaves_the_rows_as_they_were_counts_nothing_again(
    harmless: str, app: psycopg.Connection[Any], app_database: str
) -> None:
    app.execute(harmless.encode())
    assert counted(app_database) == 0
    assert app.execute("SELECT * FROM headrace.altered_sources()").fetchall() == []
