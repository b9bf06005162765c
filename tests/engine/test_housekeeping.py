"""Partitions of the change log are created in time and dropped when no longer needed, and no writer waits for either."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from orchestration.engine.housekeeping import Housekeeping, housekeep_once, runs_of_days
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError
from orchestration.install.doctor import diagnose
from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.concurrency.items import make_items
from tests.rows import insert
from tests.sessions import InThread, as_role, open_transaction, wait_until

WEEK, TWO_WEEKS = timedelta(days=7), timedelta(days=14)
PARTITIONS_AHEAD = 14
TODAY = datetime.now(UTC).date()


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def keep_house(database: str) -> Housekeeping:
    return asyncio.run(housekeep_once(database, WEEK, TWO_WEEKS))


def days(admin: psycopg.Connection[Any]) -> list[date]:
    """The days that have a partition, oldest first; checks that each is attached with its bounds."""
    rows = admin.execute("""
        SELECT to_date(right(c.relname, 8), 'YYYYMMDD'), pg_get_expr(c.relpartbound, c.oid)
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'headrace.change_log'::regclass AND c.relname <> 'change_log_default' ORDER BY 1
    """).fetchall()
    for day, bounds in rows:
        assert bounds == f"FOR VALUES FROM ('{day} 00:00:00+00') TO ('{day + timedelta(days=1)} 00:00:00+00')"
    return [day for day, _ in rows]


def old_change(admin: psycopg.Connection[Any], age_days: int, source: str = "campaigns") -> date:
    """A change that is `age_days` old, in its own partition, committed now: no stream has seen it."""
    day = TODAY - timedelta(days=age_days)
    admin.execute("SELECT headrace.add_change_log_partition(%s)", [day])
    admin.execute(
        "INSERT INTO headrace.change_log (source, op, entity_id, changed_at)"
        " VALUES (%s, 'D', gen_random_uuid(), %s::date + interval '12 hours')",
        [source, day],
    )
    return day


def in_default(admin: psycopg.Connection[Any]) -> int:
    row = admin.execute("SELECT count(*) FROM ONLY headrace.change_log_default").fetchone()
    assert row is not None
    return int(row[0])


# --- coming ----------------------------------------------------------------------------------------------------


def test_partitions_are_there_for_today_and_the_days_ahead(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    expected = [TODAY + timedelta(days=n) for n in range(PARTITIONS_AHEAD + 1)]
    assert days(admin) == expected
    for day in (TODAY, TODAY + timedelta(days=5), expected[-1]):
        admin.execute(f"DROP TABLE headrace.change_log_{day:%Y%m%d}")
    assert keep_house(database).added == 3
    assert days(admin) == expected
    assert keep_house(database) == Housekeeping()


def test_a_partition_has_the_logs_indexes_and_keeps_no_check_of_its_day(
    admin: psycopg.Connection[Any],
) -> None:
    rows = admin.execute("""
        SELECT i.inhrelid::regclass::text,
            (SELECT count(*) FROM pg_index x JOIN pg_inherits p ON p.inhrelid = x.indexrelid WHERE x.indrelid = i.inhrelid),
            (SELECT array_agg(conname::text) FROM pg_constraint c WHERE c.conrelid = i.inhrelid AND contype = 'c')
        FROM pg_inherits i WHERE inhparent = 'headrace.change_log'::regclass
    """).fetchall()
    assert len(rows) == PARTITIONS_AHEAD + 2
    for partition, indexes, checks in rows:
        assert (indexes, checks) == (2, None), partition


def test_changes_of_today_that_landed_in_default_stay_there_and_are_applied_once(
    database: str, admin: psycopg.Connection[Any], settings: Settings
) -> None:
    make_items(database)
    asyncio.run(drain(database))
    for day in days(admin):
        admin.execute(f"DROP TABLE headrace.change_log_{day:%Y%m%d}")
    admin.execute("INSERT INTO items SELECT n, n FROM generate_series(1, 10) n")
    asyncio.run(drain(database))
    admin.execute("UPDATE items SET n = n + 1")
    before = admin.execute("SELECT * FROM headrace.change_log ORDER BY pos").fetchall()
    assert "the change log lacks partitions for 14 days" in [
        problem.what for problem in diagnose(database, settings).errors
    ]
    assert keep_house(database).added == PARTITIONS_AHEAD
    assert days(admin) == [TODAY + timedelta(days=n) for n in range(1, PARTITIONS_AHEAD + 1)]
    assert in_default(admin) == 20
    assert admin.execute("SELECT * FROM headrace.change_log ORDER BY pos").fetchall() == before
    asyncio.run(drain(database))
    assert admin.execute("SELECT count(*), count(DISTINCT pos) FROM probe.applied").fetchone() == (20, 20)
    found = diagnose(database, settings)
    assert found.errors == ()
    stray = f"the change log's DEFAULT partition holds 20 changes ({TODAY})"
    assert stray in [problem.what for problem in found.notes]
    assert keep_house(database) == Housekeeping()


def test_migrate_leaves_what_default_holds_and_makes_the_days_to_come(
    database: str, admin: psycopg.Connection[Any], settings: Settings
) -> None:
    for day in days(admin):
        admin.execute(f"DROP TABLE headrace.change_log_{day:%Y%m%d}")
    insert(admin, "campaigns", name="stray")
    assert migrate(database, settings).changed
    assert in_default(admin) == 1
    assert days(admin) == [TODAY + timedelta(days=n) for n in range(1, PARTITIONS_AHEAD + 1)]
    assert not migrate(database, settings).changed


# --- a large DEFAULT -----------------------------------------------------------------------------------------------


def fill_default(admin: psycopg.Connection[Any], rows: int = 15_000) -> None:
    """The state after more than 14 days without a worker: no partition for today or later, and more than a megabyte in DEFAULT."""
    for day in days(admin):
        admin.execute(f"DROP TABLE headrace.change_log_{day:%Y%m%d}")
    admin.execute(
        "INSERT INTO headrace.change_log (source, op, entity_id)"
        " SELECT 'other', 'I', 'entity ' || n FROM generate_series(1, %s) n",
        [rows],
    )
    assert admin.execute("SELECT headrace.default_is_large()").fetchone() == (True,)


def fences(admin: psycopg.Connection[Any]) -> int:
    row = admin.execute("""
        SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'headrace.change_log_default'::regclass)
            + (SELECT count(*) FROM pg_constraint WHERE conrelid = 'headrace.change_log_default'::regclass AND contype = 'c')
    """).fetchone()
    assert row is not None
    return int(row[0])


def test_writers_beside_the_worker_that_comes_back_never_fail(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    fill_default(admin)
    stop = threading.Event()

    def write() -> int:
        written = 0
        with psycopg.connect(database, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO message_status_logs (status) VALUES ('sent')")
                written += 1
        return written

    writers = [InThread(write) for _ in range(3)]
    try:
        wait_until(lambda: in_default(admin) > 15_010)
        while len(days(admin)) < PARTITIONS_AHEAD:
            keep_house(as_role(database, "headrace_worker"))
    finally:
        stop.set()
    written = sum(writer.outcome() for writer in writers)
    assert in_default(admin) == 15_000 + written
    assert days(admin) == [TODAY + timedelta(days=n) for n in range(1, PARTITIONS_AHEAD + 1)]
    assert fences(admin) == 0


def test_no_partition_is_attached_by_reading_a_large_default_under_its_lock(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    fill_default(admin)
    tomorrow = TODAY + timedelta(days=1)
    assert admin.execute("SELECT headrace.add_change_log_partition(%s)", [tomorrow]).fetchone() == (False,)
    assert admin.execute(
        "SELECT headrace.fence_change_log_default(%s, %s)", [tomorrow, tomorrow]
    ).fetchone() == ("fenced",)
    assert admin.execute("SELECT headrace.add_change_log_partition(%s)", [tomorrow]).fetchone() == (False,)
    assert admin.execute("SELECT headrace.validate_default_fence()").fetchone() == (True,)
    told: list[str] = []
    admin.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    admin.execute("SET client_min_messages = debug1")
    assert admin.execute("SELECT headrace.add_change_log_partition(%s)", [tomorrow]).fetchone() == (True,)
    admin.execute("RESET client_min_messages")
    assert [line for line in told if "change_log_default" in line] == [
        'updated partition constraint for default partition "change_log_default" is implied by existing constraints'
    ]
    beyond = TODAY + timedelta(days=2)
    assert admin.execute("SELECT headrace.add_change_log_partition(%s)", [beyond]).fetchone() == (False,)


def test_a_fence_that_was_left_refuses_nobody_and_is_taken_away(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    fill_default(admin)
    first, last = TODAY + timedelta(days=1), TODAY + timedelta(days=3)
    admin.execute("SELECT headrace.fence_change_log_default(%s, %s)", [first, last])
    admin.execute("SELECT headrace.validate_default_fence()")
    # The worker that put it up has died, and its days begin; the writer's session shows times in its own format.
    admin.execute(
        "SET datestyle = 'SQL, DMY'; SET timezone = 'Asia/Kolkata'; SET session_replication_role = replica"
    )
    for day, entity in ((first, "first"), (last, "last"), (last + timedelta(days=1), "beyond")):
        admin.execute(
            "INSERT INTO headrace.change_log (source, op, entity_id, changed_at)"
            " VALUES ('items', 'I', %s, %s::timestamp AT TIME ZONE 'UTC')",
            [entity, day],
        )
    admin.execute("RESET ALL")
    taken = admin.execute("""
        SELECT entity_id, changed_at AT TIME ZONE 'UTC' FROM headrace.change_log WHERE source = 'items' ORDER BY pos
    """).fetchall()
    last_moment = datetime(first.year, first.month, first.day) - timedelta(microseconds=1)
    beyond = datetime(last.year, last.month, last.day) + timedelta(days=1)
    assert taken == [("first", last_moment), ("last", last_moment), ("beyond", beyond)]
    done = keep_house(database)
    assert (done.added, done.postponed, fences(admin)) == (PARTITIONS_AHEAD - 1, 0, 0)
    assert beyond.date() not in days(admin)  # DEFAULT has a change of that day


def test_a_writer_in_default_puts_the_partitions_off(database: str, admin: psycopg.Connection[Any]) -> None:
    fill_default(admin)
    with open_transaction(database, "INSERT INTO campaigns (name) VALUES ('under way')") as writer:
        done = keep_house(database)
        assert (done.added, done.postponed) == (0, 1)
        writer.execute("INSERT INTO campaigns (name) VALUES ('goes on')")
        writer.commit()
    assert keep_house(database).added == PARTITIONS_AHEAD


def test_only_days_around_today_can_have_a_partition(admin: psycopg.Connection[Any]) -> None:
    for day in (TODAY + timedelta(days=40), TODAY - timedelta(days=40)):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="at most 31 days"):
            admin.execute("SELECT headrace.add_change_log_partition(%s)", [day])


def test_days_that_follow_each_other_are_one_run() -> None:
    first = date(2026, 12, 30)
    assert runs_of_days([]) == []
    wanted = [first + timedelta(days=n) for n in (0, 1, 2, 4, 5)]
    assert runs_of_days(wanted) == [wanted[:3], wanted[3:]]


# --- beside others -------------------------------------------------------------------------------------------------


def test_adding_partitions_neither_waits_for_writers_nor_holds_them_up(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    ahead = TODAY + timedelta(days=PARTITIONS_AHEAD + 1)
    adding = f"SELECT headrace.add_change_log_partition('{ahead}')"
    with open_transaction(database, "INSERT INTO campaigns (name) VALUES ('under way')") as writer:
        with open_transaction(database, adding) as adder:
            admin.execute("SET lock_timeout = '500ms'")
            insert(admin, "messages", direction="incoming")
            admin.execute("UPDATE messages SET user_phone = '1'")
            writer.execute("INSERT INTO messages (direction) VALUES ('incoming')")
            adder.commit()
        writer.commit()
    assert days(admin)[-1] == ahead


def test_todays_partition_is_not_attached_while_anybody_writes(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    admin.execute(f"DROP TABLE headrace.change_log_{TODAY:%Y%m%d}")
    with open_transaction(database, "INSERT INTO campaigns (name) VALUES ('under way')") as writer:
        done = keep_house(database)
        assert (done.added, done.postponed) == (0, 1)
        writer.rollback()
    assert keep_house(database).added == 1
    assert days(admin)[0] == TODAY


def test_two_housekeepers_at_once_are_both_fine(database: str, admin: psycopg.Connection[Any]) -> None:
    expected = days(admin)
    for _ in range(3):
        for day in expected:
            admin.execute(f"DROP TABLE headrace.change_log_{day:%Y%m%d}")
        threads = [InThread(lambda: keep_house(database)) for _ in range(3)]
        done = [thread.outcome() for thread in threads]
        done.append(keep_house(database))
        assert sum(item.added for item in done) == len(expected)
        assert days(admin) == expected


def test_housekeeping_beside_migrations_is_fine(
    database: str, admin: psycopg.Connection[Any], settings: Settings
) -> None:
    expected = days(admin)
    for _ in range(3):
        for day in expected:
            admin.execute(f"DROP TABLE headrace.change_log_{day:%Y%m%d}")
        threads: list[InThread[Any]] = [
            InThread(lambda: keep_house(database)),
            InThread(lambda: migrate(database, settings)),
        ]
        for thread in threads:
            thread.outcome()
        assert days(admin) == expected


# --- going -----------------------------------------------------------------------------------------------------


def test_an_expired_partition_goes_once_every_stream_has_read_it(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    make_items(database)
    asyncio.run(drain(database))
    needed_by_one, needed_by_other = old_change(admin, 10), old_change(admin, 9, "items")
    assert keep_house(database).dropped == 0
    asyncio.run(drain(database, ["campaign_stats"]))
    assert keep_house(database).dropped == 0  # a stream needs everything it has not read past, of any source
    asyncio.run(drain(database))
    assert keep_house(database).dropped == 2
    assert {needed_by_one, needed_by_other}.isdisjoint(days(admin))
    assert admin.execute("SELECT state FROM headrace.stream_cursor GROUP BY 1").fetchall() == [("active",)]


def test_what_is_within_retention_stays(database: str, admin: psycopg.Connection[Any]) -> None:
    kept = [old_change(admin, age) for age in (1, 6, 7)]
    gone = old_change(admin, 9)
    asyncio.run(drain(database))
    assert keep_house(database).dropped == 1
    assert gone not in days(admin)
    assert set(kept) <= set(days(admin))


def test_a_window_under_way_holds_the_partitions_it_reads(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    make_items(database)
    asyncio.run(drain(database))
    day = old_change(admin, 10, "items")
    admin.execute("INSERT INTO items SELECT n, n FROM generate_series(1, 5) n")
    admin.execute("SELECT headrace.stream_step('items', 0, 3)")
    asyncio.run(drain(database, ["campaign_stats"]))
    assert admin.execute(
        "SELECT cur IS NOT NULL FROM headrace.stream_cursor WHERE stream = 'items'"
    ).fetchone() == (True,)
    assert keep_house(database).dropped == 0
    assert day in days(admin)
    asyncio.run(drain(database))
    assert keep_house(database).dropped == 1


def test_a_stream_idle_for_too_long_is_lost_and_holds_the_log_no_longer(
    database: str, admin: psycopg.Connection[Any], settings: Settings
) -> None:
    make_items(database)
    asyncio.run(drain(database))
    old_change(admin, 16, "items")
    asyncio.run(drain(database, ["campaign_stats"]))
    assert keep_house(database).dropped == 1
    assert admin.execute("SELECT stream, state FROM headrace.stream_cursor ORDER BY 1").fetchall() == [
        ("campaign_stats", "active"),
        ("items", "lost"),
    ]
    (problem,) = diagnose(database, settings).errors
    assert problem.what == "stream items was idle for too long and lost its place"
    assert problem.remedy == "headrace streams rebase items"
    with pytest.raises(HeadraceError, match="headrace streams rebase items"):
        asyncio.run(drain(database))
    admin.execute("SELECT headrace.rebase_stream('items')")
    admin.execute("INSERT INTO items VALUES (1, 1)")
    asyncio.run(drain(database))
    assert admin.execute("SELECT entity_id FROM probe.applied").fetchall() == [("1",)]


def test_dropping_gives_up_soon_while_a_writer_holds_the_log_and_succeeds_later(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    old_change(admin, 10)
    asyncio.run(drain(database))
    with open_transaction(database, "INSERT INTO campaigns (name) VALUES ('under way')") as writer:
        began = time.monotonic()
        done = keep_house(database)
        assert time.monotonic() - began < 2
        assert (done.dropped, done.postponed) == (0, 1)
        writer.commit()
    asyncio.run(drain(database))
    assert keep_house(database).dropped == 1


def test_dropping_gives_up_soon_while_a_worker_is_in_the_middle_of_a_step(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    old_change(admin, 10)
    asyncio.run(drain(database))
    insert(admin, "campaigns", name="c")
    with open_transaction(database, "SELECT headrace.stream_step('campaign_stats', 0, 5000)") as worker:
        assert keep_house(database).postponed == 1
        worker.commit()
    assert keep_house(database).dropped == 1


def test_what_a_transaction_of_long_ago_commits_late_is_not_dropped_unread(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    make_items(database)
    asyncio.run(drain(database))
    day = TODAY - timedelta(days=10)
    admin.execute("SELECT headrace.add_change_log_partition(%s)", [day])
    late = (
        "INSERT INTO headrace.change_log (source, op, entity_id, data, changed_at)"
        f" VALUES ('items', 'I', 'late', '{{\"new\": {{\"n\": 1}}}}', '{day} 23:59:59+00')"
    )
    with open_transaction(database, late) as writer:
        admin.execute("INSERT INTO items VALUES (1, 1)")
        asyncio.run(drain(database))  # now the cursor's snapshot is past the late transaction
        assert keep_house(database).postponed == 1
        writer.commit()
    assert keep_house(database).dropped == 0
    asyncio.run(drain(database))
    assert keep_house(database).dropped == 1
    assert admin.execute("SELECT entity_id FROM probe.applied ORDER BY seq").fetchall() == [("1",), ("late",)]


def old_stray(admin: psycopg.Connection[Any], age_days: int, source: str = "campaigns") -> None:
    """A change that is `age_days` old, in DEFAULT, committed now: no stream has seen it."""
    admin.execute(
        "INSERT INTO headrace.change_log (source, op, entity_id, changed_at)"
        " VALUES (%s, 'D', gen_random_uuid(), %s::date + interval '12 hours')",
        [source, TODAY - timedelta(days=age_days)],
    )


def test_what_default_holds_goes_when_it_is_past_its_retention_and_every_stream_has_read_it(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    make_items(database)
    asyncio.run(drain(database))
    for age in (400, 10, 9, 6, 1):
        old_stray(admin, age)
    old_stray(admin, 10, "items")
    asyncio.run(drain(database, ["campaign_stats"]))
    admin.execute(
        "UPDATE headrace.change_log SET changed_at = now() - interval '13 days' WHERE changed_at < now() - interval '13 days'"
    )
    assert keep_house(database).expired == 0
    asyncio.run(drain(database))
    assert keep_house(database).expired == 4
    assert in_default(admin) == 2
    assert admin.execute("SELECT state FROM headrace.stream_cursor GROUP BY 1").fetchall() == [("active",)]


def test_what_default_holds_for_a_stream_that_was_idle_for_too_long_goes_and_the_stream_is_lost(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    make_items(database)
    asyncio.run(drain(database))
    old_stray(admin, 16, "items")
    asyncio.run(drain(database, ["campaign_stats"]))
    assert keep_house(database).expired == 1
    assert admin.execute("SELECT stream, state FROM headrace.stream_cursor ORDER BY 1").fetchall() == [
        ("campaign_stats", "active"),
        ("items", "lost"),
    ]


def test_many_changes_in_default_go_in_portions(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute(
        "INSERT INTO headrace.change_log (source, op, entity_id, changed_at)"
        " SELECT 'other', 'I', n, now() - interval '10 days' FROM generate_series(1, 25000) n"
    )
    asyncio.run(drain(database))
    told = admin.execute("SELECT * FROM headrace.expire_default_changes('7 days', '14 days')").fetchone()
    assert told is not None
    assert told[0] == 10_000
    assert keep_house(database).expired == 15_000
    assert in_default(admin) == 0


def test_nobody_drops_what_migrate_noted_to_keep(database: str, admin: psycopg.Connection[Any]) -> None:
    asyncio.run(drain(database))
    day = old_change(admin, 5)
    dropping = "SELECT headrace.drop_change_log_partition(%s, '-1 day')"
    assert admin.execute(dropping, [TODAY]).fetchone() == ("needed",)
    assert admin.execute(dropping, [day]).fetchone() == ("needed",)
    old = old_change(admin, 10)
    assert admin.execute(dropping, [old]).fetchone() == (
        "needed",
    )  # not read yet, and not lost before 14 days
    assert admin.execute("SELECT state FROM headrace.stream_cursor").fetchall() == [("active",)]
    old_stray(admin, 5)
    asyncio.run(drain(database))
    told = admin.execute("SELECT deleted FROM headrace.expire_default_changes('-1 day', '-1 day')").fetchone()
    assert told == (0,)


def test_after_one_lock_that_is_not_to_be_had_the_other_days_wait_for_the_next_round(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    for age in (9, 10, 11, 12):
        old_change(admin, age)
    asyncio.run(drain(database))
    with open_transaction(database, "INSERT INTO campaigns (name) VALUES ('under way')"):
        assert keep_house(database) == Housekeeping(postponed=1)
    assert keep_house(database).dropped == 4


# --- the rest of the round ---------------------------------------------------------------------------------------


def test_due_dead_letters_are_tried_again_and_silent_workers_forgotten(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    make_items(database)
    admin.execute("INSERT INTO probe.poison VALUES ('1'), ('2')")
    admin.execute("INSERT INTO items VALUES (1, 1), (2, 2)")
    asyncio.run(drain(database))
    admin.execute("DELETE FROM probe.poison")
    admin.execute("UPDATE headrace.dead_letter SET next_try_at = now() WHERE entity_id = '2'")
    for worker, silent in (("old", "25 hours"), ("new", "23 hours")):
        admin.execute("SELECT headrace.worker_heartbeat(%s, 'host', 1, 'running', '{*}', 0, NULL)", [worker])
        admin.execute(
            "UPDATE headrace.worker SET seen_at = now() - %s::interval WHERE worker_id = %s", [silent, worker]
        )
    assert keep_house(database).retried == 1
    assert admin.execute("SELECT entity_id FROM headrace.dead_letter").fetchall() == [("1",)]
    assert admin.execute("SELECT worker_id FROM headrace.worker").fetchall() == [("new",)]


def test_a_dead_letter_is_not_needed_in_the_log(database: str, admin: psycopg.Connection[Any]) -> None:
    make_items(database)
    asyncio.run(drain(database))
    admin.execute("INSERT INTO probe.poison SELECT entity_id FROM headrace.change_log")
    old_change(admin, 10, "items")
    admin.execute("INSERT INTO probe.poison SELECT entity_id FROM headrace.change_log ON CONFLICT DO NOTHING")
    assert asyncio.run(drain(database)).dead_letters == 1
    assert keep_house(database).dropped == 1
    admin.execute("DELETE FROM probe.poison")
    assert admin.execute("SELECT applied FROM headrace.dead_letter_retry()").fetchone() == (1,)
