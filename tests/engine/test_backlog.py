"""What waits in streams, read from a real database; tests/dagster_kit tests how much of it is too much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from orchestration.database.connections import engine
from orchestration.engine.backlog import (
    WORKER_SILENT_SECONDS,
    count_workers,
    is_registered,
    read_letters,
    read_shards,
    read_stray_days,
    read_writer,
)
from tests.sessions import open_transaction

STREAM = "campaign_stats"


@pytest.fixture
def app(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def connection(database: str) -> Iterator[sa.Connection]:
    with engine(database).connect() as connection:
        yield connection


def test_changes_are_counted_as_far_as_they_are_asked_for(
    app: psycopg.Connection[Any], connection: sa.Connection
) -> None:
    app.execute("INSERT INTO campaigns (name) SELECT 'c' FROM generate_series(1, 100010)")
    (seen,) = read_shards(connection, [STREAM])
    assert (seen.rows_behind, seen.more_behind, seen.state) == (100_000, True, "active")
    (seen,) = read_shards(connection, [STREAM], most_rows=200_000)
    assert (seen.rows_behind, seen.more_behind) == (100_010, False)
    assert seen.seconds_behind > 0


def test_a_stream_that_is_not_registered_has_no_shards(connection: sa.Connection) -> None:
    assert [shard.stream for shard in read_shards(connection)] == [STREAM]
    assert read_shards(connection, ["another"]) == []
    assert is_registered(connection, STREAM)
    assert not is_registered(connection, "another")


@pytest.mark.parametrize(
    ("state", "streams", "silent", "counted"),
    [
        ("running", "{*}", 0, 1),
        ("running", "{campaign_stats,other}", 0, 1),
        ("running", "{other}", 0, 0),
        ("stopped", "{*}", 0, 0),
        ("running", "{*}", WORKER_SILENT_SECONDS + 1, 0),
    ],
)
def test_a_worker_counts_for_a_stream_while_it_says_that_it_serves_it(
    state: str,
    streams: str,
    silent: int,
    counted: int,
    app: psycopg.Connection[Any],
    connection: sa.Connection,
) -> None:
    app.execute(
        "INSERT INTO headrace.worker (worker_id, hostname, pid, state, streams, seen_at)"
        " VALUES ('w', 'h', 1, %s, %s, clock_timestamp() - make_interval(secs => %s))",
        [state, streams, silent],
    )
    assert count_workers(connection, STREAM) == counted
    alive = state == "running" and silent < WORKER_SILENT_SECONDS
    assert count_workers(connection) == int(alive)


def test_the_oldest_writer_is_named(database: str, connection: sa.Connection) -> None:
    with open_transaction(database, "INSERT INTO campaigns (name) VALUES ('open')") as writer:
        seen = read_writer(connection)
        assert seen is not None
        assert seen.pid == writer.info.backend_pid
        assert seen.seconds is not None


def test_without_letters_and_stray_changes_there_is_nothing(connection: sa.Connection) -> None:
    assert read_letters(connection, STREAM).all == 0
    assert read_stray_days(connection) == []
