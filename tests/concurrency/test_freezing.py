"""Freezing, amending and reopening at the same time as folds and each other: interleaved and under stress."""

from __future__ import annotations

import contextlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.campaign_stats.oracle import (
    assert_all_agree,
    count,
    documents,
    drain,
    outcomes,
    series,
    stored,
    stored_series,
)
from tests.sessions import InThread, wait_until

Connection = psycopg.Connection[Any]
Connect = Callable[[], Connection]
A, B = uuid.UUID(int=1), uuid.UUID(int=2)
FOLD = "SELECT changes FROM headrace.stream_step('campaign_stats', 0, 5000)"
FREEZE = f"SELECT headrace.freeze_campaigns(ARRAY['{A}']::uuid[])"
REBUILD = f"SELECT headrace.rebuild_campaign_stats(ARRAY['{A}']::uuid[])"
STEP = "SELECT headrace.rebuild_step()"
LONG_AGO = datetime.now(UTC) - timedelta(days=8)


@pytest.fixture
def connect(database: str) -> Iterator[Connect]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(psycopg.connect(database, autocommit=True)))


@pytest.fixture
def app(connect: Connect) -> Connection:
    """The application, with two live campaigns of one message each."""
    app = connect()
    for number, campaign in enumerate((A, B), 1):
        app.execute("INSERT INTO campaigns (id, status) VALUES (%s, 'running')", [campaign])
        app.execute(
            "INSERT INTO send_queue (campaign_id, template_name, status, whatsapp_message_id) VALUES (%s, 't', 'sent', %s)",
            [campaign, f"m{number}"],
        )
    drain(app)
    return app


def report(app: Connection, message: str, status: str) -> None:
    app.execute(
        "INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES (%s, %s)", [message, status]
    )


def complete(app: Connection) -> None:
    """A is settled: due to be frozen, but not frozen yet."""
    app.execute("UPDATE campaigns SET status = 'completed', completed_at = %s WHERE id = %s", [LONG_AGO, A])
    assert one(app, FOLD) == 1
    assert one(app, "SELECT headrace.rebuilds_pending()") == 1


def beside(connection: Connection, statement: str) -> InThread[Any]:
    return InThread(lambda: one(connection, statement))


def one(connection: Connection, statement: str, *parameters: object) -> Any:
    row = connection.execute(statement.encode(), parameters).fetchone()
    return None if row is None else row[0]


def until_it_waits(app: Connection, connection: Connection) -> None:
    pid = connection.info.backend_pid
    wait_until(lambda: bool(one(app, "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted", pid)))


def life(app: Connection, campaign: uuid.UUID = A) -> tuple[Any, ...]:
    """State, version, and the number of earlier versions on record."""
    row = app.execute(
        "SELECT k.state, d.version, (SELECT count(*) FROM headrace.campaign_stats_amendment a WHERE a.campaign_id = k.campaign_id)"
        " FROM headrace.campaign k JOIN headrace.campaign_computed_stats d USING (campaign_id) WHERE k.campaign_id = %s",
        [campaign],
    ).fetchone()
    assert row is not None
    return row


def drain_folds(app: Connection) -> None:
    """Applies every change, but does not freeze campaigns that are due."""
    while one(app, FOLD):
        pass


def no_messages_held(app: Connection) -> bool:
    return one(app, "SELECT count(*) FROM headrace.message_outcome WHERE campaign_id = %s", A) == 0


def test_a_freeze_that_waited_behind_a_fold_freezes_what_the_fold_counted(
    app: Connection, connect: Connect
) -> None:
    fold, freeze = connect(), connect()
    report(app, "m1", "delivered")
    with fold.transaction():
        assert one(fold, FOLD) == 1
        waiting = beside(freeze, FREEZE)
        until_it_waits(app, freeze)
    assert waiting.outcome() == 1
    assert life(app) == ("frozen", 2, 0)
    assert no_messages_held(app)
    drain(app)
    assert life(app) == ("frozen", 2, 0)
    assert assert_all_agree(app)[A, "t"] == (1, 1, 1, 0, 0, 0, 0)


def test_a_fold_that_waited_behind_a_freeze_adds_nothing_to_it_and_asks_for_an_amendment(
    app: Connection, connect: Connect
) -> None:
    fold, freeze = connect(), connect()
    with freeze.transaction():
        assert one(freeze, FREEZE) == 1
        report(app, "m1", "delivered")  # the freeze cannot have seen it
        waiting = beside(fold, FOLD)
        until_it_waits(app, fold)
    waiting.outcome()
    assert life(app) == ("frozen", 1, 0)
    assert no_messages_held(app)
    drain(app)
    assert life(app) == ("amended", 2, 1)
    assert_all_agree(app)


def test_a_status_that_a_freeze_saw_before_its_fold_changes_nothing_afterwards(
    app: Connection, connect: Connect
) -> None:
    fold, freeze = connect(), connect()
    report(app, "m1", "delivered")
    with freeze.transaction():
        assert one(freeze, FREEZE) == 1
        waiting = beside(fold, FOLD)
        until_it_waits(app, fold)
    waiting.outcome()
    drain(app)
    assert life(app) == ("frozen", 2, 0)
    assert_all_agree(app)


def test_a_fold_that_waited_behind_an_amendment_asks_for_the_next_one(
    app: Connection, connect: Connect
) -> None:
    fold, amend = connect(), connect()
    one(app, FREEZE)
    report(app, "m1", "delivered")
    one(app, FOLD)
    with amend.transaction():
        assert one(amend, STEP) == 1
        report(app, "m1", "read")
        waiting = beside(fold, FOLD)
        until_it_waits(app, fold)
    waiting.outcome()
    assert life(app) == ("amended", 2, 1)
    drain(app)
    assert life(app) == ("amended", 3, 2)
    assert_all_agree(app)


def test_an_amendment_that_waited_behind_the_fold_of_a_late_change_counts_it(
    app: Connection, connect: Connect
) -> None:
    fold, amend = connect(), connect()
    one(app, FREEZE)
    report(app, "m1", "read")
    with fold.transaction():
        one(fold, FOLD)
        waiting = beside(amend, REBUILD)
        until_it_waits(app, amend)
    waiting.outcome()
    assert life(app) == ("amended", 2, 1)
    drain(app)
    assert life(app) == ("amended", 2, 1)
    assert_all_agree(app)


def test_rows_that_are_pruned_while_an_amendment_counts_have_it_wait_for_an_operator(
    app: Connection, connect: Connect
) -> None:
    amend, holder = connect(), connect()
    for status in ("delivered", "read"):
        report(app, "m1", status)
    one(app, FREEZE)
    drain(app)
    report(app, "m1", "failed")
    one(app, FOLD)
    with holder.transaction():
        # Between the amendment's look at which rows exist and its count of them.
        holder.execute("SELECT FROM headrace.campaign_frozen_hours FOR UPDATE")
        waiting = beside(amend, STEP)
        until_it_waits(app, amend)
        app.execute("DELETE FROM message_status_logs WHERE status IN ('delivered', 'read')")
    with contextlib.suppress(psycopg.errors.SerializationFailure):
        waiting.outcome()
    drain(app)
    assert life(app) == ("frozen", 2, 0)
    assert one(app, "SELECT times FROM headrace.campaign_stats_pending_amendment WHERE campaign_id = %s", A)


def test_counters_series_and_medians_of_an_amendment_are_of_one_moment(
    app: Connection, connect: Connect
) -> None:
    amend, holder = connect(), connect()
    one(app, FREEZE)
    drain(app)
    report(app, "m1", "delivered")
    one(app, FOLD)
    with holder.transaction():
        # The amendment waits to set this counter; by then it has read the source.
        holder.execute("SELECT FROM headrace.campaign_template_stats WHERE campaign_id = %s FOR UPDATE", [A])
        waiting = beside(amend, STEP)
        until_it_waits(app, amend)
        report(app, "m1", "read")
    waiting.outcome()
    assert life(app) == ("amended", 2, 1)
    totals = "SELECT totals -> %s FROM headrace.campaign_computed_stats WHERE campaign_id = %s"
    assert [one(app, totals, counter, A) for counter in ("delivered", "read", "median_seconds_to_read")] == [
        1,
        0,
        None,
    ]
    hours = "SELECT sum(read) FROM headrace.campaign_hourly_stats WHERE campaign_id = %s"
    assert one(app, hours, A) == 0
    drain(app)
    assert life(app) == ("amended", 3, 2)
    assert_all_agree(app)


@pytest.mark.parametrize("statement", [STEP, FREEZE])
def test_rows_that_go_while_a_campaign_is_being_frozen_are_gone_before_it_is(
    app: Connection, connect: Connect, statement: str
) -> None:
    freeze, holder = connect(), connect()
    for status in ("delivered", "read"):
        report(app, "m1", status)
    drain_folds(app)
    if statement == STEP:
        complete(app)
    with holder.transaction():
        # Between the count of the campaign and the look at which rows it was counted from.
        holder.execute("SELECT FROM headrace.campaign_computed_stats WHERE campaign_id = %s FOR UPDATE", [A])
        waiting = beside(freeze, statement)
        until_it_waits(app, freeze)
        app.execute("DELETE FROM message_status_logs WHERE status = 'read'")
    with contextlib.suppress(psycopg.errors.SerializationFailure):
        waiting.outcome()
    one(freeze, statement)
    drain(app)
    state, _, on_record = life(app)
    assert (state, on_record) == ("frozen", 0)
    assert_all_agree(app)


def test_a_message_that_moves_into_a_campaign_while_it_is_being_frozen_leaves_the_other_and_amends_this_one(
    app: Connection, connect: Connect
) -> None:
    fold, freeze = connect(), connect()
    with freeze.transaction():
        one(freeze, FREEZE)
        app.execute("UPDATE send_queue SET campaign_id = %s WHERE campaign_id = %s", [A, B])
        waiting = beside(fold, FOLD)
        until_it_waits(app, fold)
    waiting.outcome()
    drain(app)
    assert life(app) == ("amended", 2, 1)
    assert assert_all_agree(app) == {(A, "t"): (2, 2, 0, 0, 0, 0, 0)}


def test_of_two_workers_one_freezes_a_campaign_that_has_settled_and_the_other_passes_it_by(
    app: Connection, connect: Connect
) -> None:
    first, second = connect(), connect()
    complete(app)
    with first.transaction():
        assert one(first, STEP) == 1
        assert one(second, STEP) == 0
    assert life(app) == ("frozen", 1, 0)
    assert one(second, STEP) == 0
    assert_all_agree(app)


@pytest.mark.parametrize(("first", "second"), [(REBUILD, REBUILD), (FREEZE, REBUILD), (REBUILD, FREEZE)])
def test_two_that_freeze_the_same_campaign_one_after_the_other_leave_one_final_version(
    app: Connection, connect: Connect, first: str, second: str
) -> None:
    one_worker, other_worker = connect(), connect()
    complete(app)
    with one_worker.transaction():
        one(one_worker, first)
        waiting = beside(other_worker, second)
        until_it_waits(app, other_worker)
    assert waiting.outcome() == 0
    assert life(app) == ("frozen", 1, 0)
    assert_all_agree(app)


@pytest.mark.parametrize(
    ("change", "state"),
    [("UPDATE campaigns SET status = 'running'", "live"), ("DELETE FROM campaigns", "deleted")],
)
def test_a_campaign_that_is_reopened_or_deleted_while_it_is_being_frozen_does_not_stay_frozen(
    app: Connection, connect: Connect, change: str, state: str
) -> None:
    holder, freeze = connect(), connect()
    complete(app)
    with holder.transaction():
        one(
            holder,
            "SELECT version FROM headrace.campaign_computed_stats WHERE campaign_id = %s FOR UPDATE",
            A,
        )
        waiting = beside(freeze, STEP)
        until_it_waits(app, freeze)  # it has already read that the campaign is completed
        app.execute(f"{change} WHERE id = %s".encode(), [A])
    waiting.outcome()
    drain(app)
    assert one(app, "SELECT state FROM headrace.campaign WHERE campaign_id = %s", A) == state
    assert_all_agree(app)


def test_a_worker_that_is_killed_while_it_freezes_leaves_nothing_and_the_next_one_freezes(
    app: Connection, connect: Connect
) -> None:
    killed = connect()
    complete(app)
    killed.execute("BEGIN")
    assert one(killed, STEP) == 1
    one(app, "SELECT pg_terminate_backend(%s, 10000)", killed.info.backend_pid)
    assert life(app) == ("settling", 1, 0)
    assert not no_messages_held(app)
    drain(app)
    assert life(app) == ("frozen", 1, 0)
    assert_all_agree(app)


def test_a_reopening_that_waited_behind_an_amendment_puts_both_versions_on_record(
    app: Connection, connect: Connect
) -> None:
    amend, reopen = connect(), connect()
    one(app, FREEZE)
    report(app, "m1", "delivered")
    one(app, FOLD)
    with amend.transaction():
        assert one(amend, STEP) == 1
        waiting = beside(reopen, f"SELECT headrace.reopen_campaigns(ARRAY['{A}']::uuid[])")
        until_it_waits(app, reopen)
    assert waiting.outcome() == 1
    assert life(app) == ("live", 2, 2)
    versions = app.execute("SELECT version FROM headrace.campaign_stats_amendment ORDER BY id").fetchall()
    assert versions == [(1,), (2,)]
    drain(app)
    assert_all_agree(app)


def test_a_decision_is_made_once_by_whoever_comes_first(app: Connection, connect: Connect) -> None:
    accept, discard = connect(), connect()
    report(app, "m1", "read")
    drain(app)
    one(app, FREEZE)
    app.execute("DELETE FROM message_status_logs")
    drain(app)
    decide = f"SELECT headrace.amend_campaigns(ARRAY['{A}']::uuid[], {{}})"
    with accept.transaction():
        assert one(accept, decide.format("true")) == 1
        waiting = beside(discard, decide.format("false"))
        until_it_waits(app, discard)
    assert waiting.outcome() == 0
    assert life(app)[0] == "amended"
    assert_all_agree(app)


def test_under_stress_every_frozen_number_is_right_or_waits_for_a_decision(
    database: str, connect: Connect
) -> None:
    admin = connect()
    campaigns = [uuid.UUID(int=n) for n in range(1, 5)]
    for campaign in campaigns:
        admin.execute("INSERT INTO campaigns (id, status) VALUES (%s, 'running')", [campaign])
    done = threading.Event()
    failed: list[BaseException] = []

    def repeat(action: Callable[[Connection, random.Random], None], seed: int) -> None:
        rng = random.Random(seed)
        try:
            with psycopg.connect(database, autocommit=True) as connection:
                while not done.is_set():
                    with contextlib.suppress(
                        psycopg.errors.SerializationFailure,
                        psycopg.errors.DeadlockDetected,
                        psycopg.errors.ObjectNotInPrerequisiteState,  # rows are missing: not reopened
                    ):
                        action(connection, rng)
        except BaseException as error:
            failed.append(error)

    def write(connection: Connection, rng: random.Random) -> None:
        match rng.randrange(10):
            case 0 | 1 | 2 | 3:
                connection.execute(
                    "INSERT INTO send_queue (campaign_id, template_name, status, whatsapp_message_id, user_phone,"
                    " whatsapp_number_id) VALUES (%s, 't', 'sent', %s, %s, 'n')",
                    [rng.choice(campaigns), f"m{rng.randrange(200)}", rng.choice("pqrstuvw")],
                )
            case 4 | 5 | 6:
                report(connection, f"m{rng.randrange(200)}", rng.choice(["delivered", "read", "failed"]))
            case 7:
                connection.execute(
                    "INSERT INTO messages (user_phone, whatsapp_number_id, direction) VALUES (%s, 'n', 'incoming')",
                    [rng.choice("pqrstuvw")],
                )
            case 8:
                connection.execute(
                    "UPDATE send_queue SET campaign_id = %s WHERE id = (SELECT id FROM send_queue ORDER BY random() LIMIT 1)",
                    [rng.choice(campaigns)],
                )
            case 9:
                connection.execute(
                    "UPDATE campaigns SET status = %s, completed_at = %s WHERE id = %s",
                    [rng.choice(["running", "completed"]), LONG_AGO, rng.choice(campaigns)],
                )
        time.sleep(0.002)  # a server without fsync would write more than can be counted in the end

    def fold(connection: Connection, rng: random.Random) -> None:
        connection.execute("SELECT headrace.stream_step('campaign_stats', 0, %s)", [rng.randint(1, 40)])
        connection.execute("SELECT headrace.stream_rebuild('campaign_stats')")

    def operate(connection: Connection, rng: random.Random) -> None:
        picked = rng.sample(campaigns, 2)
        match rng.randrange(4):
            case 0:
                connection.execute("SELECT headrace.freeze_campaigns(%s)", [picked])
            case 1:
                connection.execute("SELECT headrace.reopen_campaigns(%s, %s)", [picked, rng.random() < 0.5])
            case 2:
                connection.execute("SELECT headrace.amend_campaigns(%s, true)", [picked])
            case 3:
                connection.execute("SELECT headrace.rebuild_campaign_stats(%s)", [picked])
        time.sleep(0.02)

    actions = [write, write, fold, fold, operate, operate]
    threads = [threading.Thread(target=repeat, args=(action, seed)) for seed, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    time.sleep(5)
    done.set()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert failed == []
    drain(admin)
    waiting = {
        row[0] for row in admin.execute("SELECT campaign_id FROM headrace.campaign_stats_pending_amendment")
    }
    frozen = {
        row[0]
        for row in admin.execute(
            "SELECT campaign_id FROM headrace.campaign WHERE state IN ('frozen', 'amended')"
        )
    }
    assert waiting <= frozen
    found = outcomes(admin)
    for actual, expected in (
        (stored(admin), count(found)),
        (documents(admin), count(found)),
        (stored_series(admin), series(found)),
    ):
        assert {key: row for key, row in actual.items() if key[0] not in waiting} == {
            key: row for key, row in expected.items() if key[0] not in waiting
        }
    # Once they are decided, the waiting ones are right too.
    admin.execute("SELECT headrace.amend_campaigns(%s, true)", [campaigns])
    drain(admin)
    assert_all_agree(admin)
    assert one(admin, "SELECT count(*) FROM headrace.dead_letter") == 0
