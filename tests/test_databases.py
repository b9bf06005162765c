"""The emptied database that tests share equals a new clone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from orchestration.engine.stream import drain
from tests.databases import EmptiedDatabase
from tests.rows import a_history

CURSORS = """
    SELECT stream, shard, cur, pos, last_pos, window_rows, state, system_identifier,
        database_name = current_database(), changes_applied, advanced_at > now() - interval '1 minute'
    FROM headrace.stream_cursor"""
RELATIONS = """
    SELECT c.oid::regclass::text, pg_relation_size(c.oid), c.reltuples, pg_indexes_size(c.oid) FROM pg_class c
    WHERE c.relkind IN ('r', 'S') AND c.relnamespace::regnamespace::text IN ('public', 'headrace')
        AND c.oid <> 'headrace.stream_cursor'::regclass
    ORDER BY 1"""


def content(url: str) -> list[tuple[Any, ...]]:
    """Every table and sequence with its size, the planner's estimate of it, and its rows; and the positions of the streams."""
    tables = [(*found, run(url, f"SELECT * FROM {found[0]} ORDER BY 1")) for found in run(url, RELATIONS)]
    return [*tables, *run(url, CURSORS)]


@pytest.fixture(scope="module")
def one(server_url: str, templates: dict[str, str]) -> Iterator[EmptiedDatabase]:
    one = EmptiedDatabase(server_url, templates["migrated"])
    yield one
    one.drop()


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def counted(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        a_history(connection)
    asyncio.run(drain(url, timeout_seconds=60))


NO_DDL = {
    "a history that is counted": counted,
    "Headrace's own tables": lambda url: run(
        url,
        "UPDATE headrace.source SET columns = '{}'; DELETE FROM headrace.stream; DELETE FROM headrace.webhook_lock;"
        "INSERT INTO headrace.installation VALUES ('of a test', 'x')",
    ),
    "identities": lambda url: run(
        url,
        "INSERT INTO message_status_logs (status, created_at) SELECT 'sent', now() FROM generate_series(1, 2000)",
    ),
}


@pytest.mark.parametrize("test", NO_DDL.values(), ids=NO_DDL)
def test_what_a_test_did_to_rows_is_undone(
    one: EmptiedDatabase, new_database: Callable[[], str], test: Callable[[str], object]
) -> None:
    fresh = content(new_database())
    url = one.hand_out()
    for _ in range(2):
        test(url)
        one.take_back()
        assert one.hand_out() == url
        assert content(url) == fresh
    one.take_back()


def test_an_open_session_is_ended_and_one_that_may_come_back_has_its_database_dropped(
    one: EmptiedDatabase,
) -> None:
    url = one.hand_out()
    left = psycopg.connect(url)
    left.execute("LOCK TABLE campaigns")
    one.take_back()
    assert one.hand_out() == url
    assert left.closed or left.info.backend_pid not in pids(url)
    worker = psycopg.connect(url, application_name="headrace worker")
    one.take_back()
    assert one.hand_out() != url
    one.take_back()
    left.close()
    worker.close()


def pids(url: str) -> set[int]:
    return {pid for (pid,) in run(url, "SELECT pid FROM pg_stat_activity")}


def of_this_database(statement: str) -> str:
    return f"DO $$ BEGIN EXECUTE format('{statement}', current_database()); END $$"


DDL = {
    "a column": "ALTER TABLE campaigns ADD archived boolean",
    "a function": "CREATE OR REPLACE FUNCTION headrace.held_up_by() RETURNS integer RETURN 1",
    "a trigger": "ALTER TABLE campaigns DISABLE TRIGGER USER",
    "a right": "GRANT SELECT ON campaigns TO PUBLIC",
    "a right on a function of PostgreSQL": "REVOKE EXECUTE ON FUNCTION pg_catalog.now() FROM PUBLIC",
    "a comment": "COMMENT ON TABLE campaigns IS 'of a test'",
    "a policy": "CREATE POLICY mine ON campaigns USING (true)",
    "a schema": "CREATE SCHEMA elsewhere",
    "done and undone": "ALTER TABLE campaigns DISABLE TRIGGER USER; ALTER TABLE campaigns ENABLE TRIGGER USER",
    "a setting": of_this_database("ALTER DATABASE %I SET work_mem = 1000"),
    "a setting of a role": of_this_database("ALTER ROLE headrace_reader IN DATABASE %I SET work_mem = 1000"),
    "a right on the database": of_this_database("REVOKE ALL ON DATABASE %I FROM PUBLIC"),
    "statistics": "ANALYZE headrace.webhook_lock",
    "a vacuum": "VACUUM headrace.webhook_lock",
    "a large object": "SELECT lo_create(0)",
    "a publication": "CREATE PUBLICATION mine FOR TABLE campaigns",
}


@pytest.mark.parametrize("statement", DDL.values(), ids=DDL)
def test_a_test_that_did_more_is_followed_by_a_new_clone(one: EmptiedDatabase, statement: str) -> None:
    url = one.hand_out()
    run(url, statement)
    one.take_back()
    assert one.hand_out() != url
    one.take_back()
