"""Folds, rebuilds and deletes of one campaign at the same time: the protocol of fold_messages, interleaved and under stress."""

from __future__ import annotations

import contextlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.campaign_stats.oracle import assert_all_agree, drain, stored

Connect = Callable[[], psycopg.Connection[Any]]
A, B = uuid.UUID(int=1), uuid.UUID(int=2)
FOLD = "SELECT * FROM headrace.stream_step('campaign_stats', 0, 5000)"


@pytest.fixture
def connect(database: str) -> Iterator[Connect]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(psycopg.connect(database, autocommit=True)))


@pytest.fixture
def app(connect: Connect) -> psycopg.Connection[Any]:
    """The application, with two live campaigns; message m1 of A is delivered."""
    app = connect()
    app.execute("INSERT INTO campaigns (id, name) VALUES (%s, 'a'), (%s, 'b')", [A, B])
    app.execute(
        "INSERT INTO send_queue (id, campaign_id, template_name, status, whatsapp_message_id)"
        " VALUES (%s, %s, 't', 'sent', 'm1')",
        [uuid.UUID(int=11), A],
    )
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m1', 'delivered')")
    drain(app)
    return app


def _until_blocked(watcher: psycopg.Connection[Any], pid: int) -> None:
    deadline = time.monotonic() + 20
    while not watcher.execute("SELECT FROM pg_locks WHERE pid = %s AND NOT granted", [pid]).fetchall():
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.005)


def _in_background(
    pool: ThreadPoolExecutor, connection: psycopg.Connection[Any], statement: str
) -> Future[Any]:
    return pool.submit(lambda: connection.execute(statement).fetchall())


def test_a_fold_that_waited_behind_a_rebuild_reads_the_truth_after_it(
    app: psycopg.Connection[Any], connect: Connect
) -> None:
    rebuild, fold = connect(), connect()
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m1', 'read')")
    with ThreadPoolExecutor() as pool:
        with rebuild.transaction():
            rebuild.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [A])
            waiting = _in_background(pool, fold, FOLD)
            _until_blocked(app, fold.info.backend_pid)
            # The rebuild has already counted `read`. It cannot have seen this message, so the waiting fold must.
            app.execute(
                "INSERT INTO send_queue (id, campaign_id, template_name, status) VALUES (%s, %s, 't', 'failed')",
                [uuid.UUID(int=12), A],
            )
        waiting.result(timeout=20)
    drain(app)
    assert assert_all_agree(app) == {(A, "t"): (2, 1, 1, 1, 0, 1, 1)}


def test_a_rebuild_that_waited_behind_a_fold_counts_nothing_twice(
    app: psycopg.Connection[Any], connect: Connect
) -> None:
    rebuild, fold = connect(), connect()
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m1', 'read')")
    with ThreadPoolExecutor() as pool:
        with fold.transaction():
            fold.execute(FOLD)
            waiting = _in_background(
                pool, rebuild, f"SELECT headrace.rebuild_campaign_stats(ARRAY['{A}']::uuid[])"
            )
            _until_blocked(app, rebuild.info.backend_pid)
            app.execute("UPDATE send_queue SET template_name = 'u'")
        waiting.result(timeout=20)
    drain(app)
    assert assert_all_agree(app) == {(A, "u"): (1, 1, 1, 1, 0, 0, 0)}


def test_a_fold_behind_the_delete_of_its_campaign_leaves_nothing(
    app: psycopg.Connection[Any], connect: Connect
) -> None:
    rebuild, fold = connect(), connect()
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m1', 'read')")
    with ThreadPoolExecutor() as pool:
        with rebuild.transaction():
            rebuild.execute("SELECT FROM headrace.campaign WHERE campaign_id = %s FOR UPDATE", [A])
            waiting = _in_background(pool, fold, FOLD)
            _until_blocked(app, fold.info.backend_pid)
            app.execute("DELETE FROM campaigns WHERE id = %s", [A])
            rebuild.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [A])
        waiting.result(timeout=20)
    drain(app)
    assert assert_all_agree(app) == {}
    assert app.execute("SELECT count(*) FROM headrace.message_outcome").fetchone() == (0,)
    assert app.execute("SELECT campaign_id FROM headrace.campaign_computed_stats").fetchall() == [(B,)]


def test_a_message_that_moves_while_its_fold_waits_is_counted_where_it_went(
    app: psycopg.Connection[Any], connect: Connect
) -> None:
    holder, fold = connect(), connect()
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m1', 'read')")
    with ThreadPoolExecutor() as pool:
        with holder.transaction():
            holder.execute("SELECT FROM headrace.campaign WHERE campaign_id = %s FOR UPDATE", [A])
            waiting = _in_background(pool, fold, FOLD)
            _until_blocked(app, fold.info.backend_pid)
            app.execute("UPDATE send_queue SET campaign_id = %s", [B])
        waiting.result(timeout=20)
    # That one fold is enough: it read where the message is now, and locked that campaign too.
    assert stored(app) == {(B, "t"): (1, 1, 1, 1, 0, 0, 0)}
    drain(app)
    assert_all_agree(app)


def test_a_rebuild_takes_over_a_message_that_still_counts_for_the_campaign_it_left(
    app: psycopg.Connection[Any],
) -> None:
    app.execute("UPDATE send_queue SET campaign_id = %s", [B])
    # Before the fold of that move: B takes what A is still recorded to have.
    app.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [B])
    assert stored(app) == {(B, "t"): (1, 1, 1, 0, 0, 0, 0)}
    drain(app)
    assert_all_agree(app)


def test_a_campaign_that_went_and_came_again_is_rebuilt_even_where_it_seems_live(
    app: psycopg.Connection[Any],
) -> None:
    app.execute("ALTER TABLE send_queue DROP CONSTRAINT send_queue_campaign_id_fkey")
    with app.transaction():
        app.execute("DELETE FROM campaigns WHERE id = %s", [A])
        app.execute("INSERT INTO campaigns (id, name) VALUES (%s, 'a again')", [A])
    # The result of a rebuild that read its messages in the moment between: a live campaign that counts nothing.
    app.execute("DELETE FROM headrace.message_outcome")
    app.execute("DELETE FROM headrace.campaign_template_stats")
    drain(app)
    assert assert_all_agree(app) == {(A, "t"): (1, 1, 1, 0, 0, 0, 0)}


def test_two_folds_with_the_same_campaigns_wait_for_each_other_instead_of_deadlocking(
    app: psycopg.Connection[Any], connect: Connect
) -> None:
    first, second = connect(), connect()
    ids = [uuid.UUID(int=n) for n in (21, 22)]
    for row, campaign in zip(ids, (A, B), strict=True):
        app.execute(
            "INSERT INTO send_queue (id, campaign_id, template_name) VALUES (%s, %s, 't')", [row, campaign]
        )
    fold = "SELECT headrace.fold_messages(ARRAY['{}', '{}'], ARRAY['{}', '{}']::uuid[])"
    with ThreadPoolExecutor() as pool:
        with first.transaction():
            first.execute(fold.format(ids[0], ids[1], A, B))
            waiting = _in_background(pool, second, fold.format(ids[1], ids[0], B, A))
            _until_blocked(app, second.info.backend_pid)
        assert waiting.result(timeout=20) == [(0,)]
    drain(app)
    assert_all_agree(app)


def test_under_stress_from_all_sides_no_counter_is_wrong_and_no_deadlock_stays(
    database: str, connect: Connect
) -> None:
    admin = connect()
    campaigns = [uuid.UUID(int=n) for n in range(1, 5)]
    rows = [uuid.UUID(int=n) for n in range(100, 130)]
    done = threading.Event()
    failed: list[BaseException] = []

    def repeat(action: Callable[[psycopg.Connection[Any], random.Random], None], seed: int) -> None:
        rng = random.Random(seed)
        try:
            with psycopg.connect(database, autocommit=True) as connection:
                while not done.is_set():
                    try:
                        action(connection, rng)
                    except (
                        psycopg.errors.SerializationFailure,
                        psycopg.errors.DeadlockDetected,
                        psycopg.errors.ForeignKeyViolation,
                    ):
                        continue  # retried as a whole, as the worker does
        except BaseException as error:
            failed.append(error)

    def write(connection: psycopg.Connection[Any], rng: random.Random) -> None:
        with connection.transaction(force_rollback=rng.random() < 0.2):
            for _ in range(rng.randint(1, 5)):
                row, campaign = rng.choice(rows), rng.choice(campaigns)
                match rng.randrange(6):
                    case 0 | 1:
                        connection.execute(
                            "INSERT INTO send_queue (id, campaign_id, template_name, status, whatsapp_message_id,"
                            " user_phone, whatsapp_number_id) VALUES (%s, %s, %s, 'sent', %s, %s, 'n')"
                            " ON CONFLICT (id) DO UPDATE SET campaign_id = excluded.campaign_id",
                            [
                                row,
                                campaign,
                                rng.choice("tu"),
                                f"m{rng.randrange(30)}",
                                rng.choice(["p", "q"]),
                            ],
                        )
                    case 2:
                        connection.execute(
                            "INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES (%s, %s)",
                            [f"m{rng.randrange(30)}", rng.choice(["sent", "delivered", "read", "failed"])],
                        )
                    case 3:
                        connection.execute(
                            "INSERT INTO messages (user_phone, whatsapp_number_id, direction) VALUES (%s, 'n', 'incoming')",
                            [rng.choice(["p", "q"])],
                        )
                    case 4:
                        connection.execute("DELETE FROM send_queue WHERE id = %s", [row])
                    case 5:
                        connection.execute(
                            "UPDATE send_queue SET created_at = now() - %s * interval '1 ms', status = %s WHERE id = %s",
                            [rng.randrange(5), rng.choice(["queued", "sent"]), row],
                        )

    def come_and_go(connection: psycopg.Connection[Any], rng: random.Random) -> None:
        campaign = rng.choice(campaigns)
        connection.execute("INSERT INTO campaigns (id) VALUES (%s) ON CONFLICT DO NOTHING", [campaign])
        time.sleep(rng.random() * 0.05)
        if rng.random() < 0.5:
            connection.execute("DELETE FROM campaigns WHERE id = %s", [rng.choice(campaigns)])

    def fold(connection: psycopg.Connection[Any], rng: random.Random) -> None:
        connection.execute("SELECT headrace.stream_step('campaign_stats', 0, %s)", [rng.randint(1, 40)])
        connection.execute("SELECT headrace.stream_rebuild('campaign_stats')")

    def fold_aside(connection: psycopg.Connection[Any], rng: random.Random) -> None:
        picked = [str(row) for row in rng.sample(rows, 10)]
        connection.execute("SELECT headrace.fold_messages(%s, NULL)", [picked])

    def rebuild(connection: psycopg.Connection[Any], rng: random.Random) -> None:
        connection.execute("SELECT headrace.rebuild_campaign_stats(%s)", [rng.sample(campaigns, 2)])

    actions = [write, write, come_and_go, fold, fold, fold_aside, fold_aside, rebuild, rebuild]
    threads = [threading.Thread(target=repeat, args=(action, seed)) for seed, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    time.sleep(6)
    done.set()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert failed == []
    drain(admin)
    assert_all_agree(admin)
    assert admin.execute("SELECT count(*) FROM headrace.dead_letter").fetchone() == (0,)
