"""Streams under real concurrency: every committed change once, in order for each row, without waiting for anybody."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from tests.concurrency.items import make_items
from tests.sessions import wait_until

WRITERS = 8
KILLS = 5
ROWS = 40


def _worker(database: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", "worker", "--streams", "items", "--concurrency", "2"],
        env={**os.environ, "HEADRACE_DATABASE_URL": database},
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )


def _wait_until_all_work(
    admin: psycopg.Connection[tuple[int]], workers: list[subprocess.Popen[bytes]]
) -> None:
    deadline = time.monotonic() + 60
    pids = [worker.pid for worker in workers]
    alive = "SELECT count(*) FROM headrace.worker WHERE pid = ANY (%s) AND state = 'running'"
    while (row := admin.execute(alive, [pids]).fetchone()) is None or row[0] < len(pids):
        assert time.monotonic() < deadline, "workers do not come up"
        time.sleep(0.02)


def _write_at_random(database: str, seed: int, done: threading.Event, failed: list[BaseException]) -> None:
    """Transactions with a few updates: some rolled back, some held open for a while, some with rolled-back savepoints."""
    rng = random.Random(seed)
    try:
        with psycopg.connect(database) as connection:
            connection.execute("SET lock_timeout = '2s'")
            connection.commit()
            while not done.is_set():
                try:
                    for row in sorted(rng.sample(range(ROWS), rng.randint(1, 4))):
                        connection.execute("UPDATE items SET n = n + 1 WHERE id = %s", [row])
                        if rng.random() < 0.1:
                            connection.execute("SAVEPOINT s")
                            connection.execute("UPDATE items SET n = n + 1000000 WHERE id = %s", [row])
                            connection.execute("ROLLBACK TO SAVEPOINT s")
                    if rng.random() < 0.2:
                        time.sleep(rng.random() * 0.1)
                    if rng.random() < 0.25:
                        connection.rollback()
                    else:
                        connection.commit()
                except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                    connection.rollback()
    except BaseException as error:
        failed.append(error)


def test_every_committed_change_is_applied_once_and_in_order_while_workers_are_killed(database: str) -> None:
    make_items(database, shards=4)
    with psycopg.connect(database, autocommit=True) as admin, psycopg.connect(database) as unrelated:
        admin.execute("INSERT INTO items SELECT n, 0 FROM generate_series(0, %s) n", [ROWS - 1])
        # Open all the time, with a transaction id: nobody may wait for it.
        unrelated.execute("CREATE TEMP TABLE held (n integer)")
        assert unrelated.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL").fetchone() == (True,)

        failed: list[BaseException] = []
        done = threading.Event()
        writers = [
            threading.Thread(target=_write_at_random, args=(database, seed, done, failed))
            for seed in range(WRITERS)
        ]
        workers = [_worker(database) for _ in range(3)]
        try:
            for writer in writers:
                writer.start()
            rng = random.Random(7)
            for _ in range(KILLS):
                _wait_until_all_work(admin, workers)
                time.sleep(rng.uniform(0.0, 0.5))
                victim = rng.randrange(3)
                workers[victim].kill()
                workers[victim].wait()
                workers[victim] = _worker(database)
            _wait_until_all_work(admin, workers)
            done.set()
            for writer in writers:
                writer.join()
            assert failed == []
            deadline = time.monotonic() + 30
            while admin.execute("SELECT FROM headrace.stream_poll('{items}')").fetchall():
                assert time.monotonic() < deadline, "the stream waits for somebody"
                time.sleep(0.05)
        finally:
            done.set()
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
        assert [worker.wait(timeout=20) for worker in workers] == [0, 0, 0]

        changes = admin.execute("SELECT count(*) FROM headrace.change_log WHERE source = 'items'").fetchone()
        assert changes is not None
        assert changes[0] > 500
        assert admin.execute("SELECT count(*), count(DISTINCT pos) FROM probe.applied").fetchone() == (
            changes[0],
            changes[0],
        )
        # n only ever grows by one: the changes applied to a row must be 0, 1, 2 … up to its present value.
        wrong = admin.execute("""
            SELECT i.id, i.n, array_agg(a.n ORDER BY a.seq) FROM items i JOIN probe.applied a ON a.entity_id = i.id::text
            GROUP BY i.id, i.n HAVING array_agg(a.n ORDER BY a.seq) <> ARRAY(SELECT generate_series(0, i.n))
        """).fetchall()
        assert wrong == []
        unrelated.rollback()


def test_windows_below_the_oldest_transaction_stall_and_misorder_where_ours_do_neither(database: str) -> None:
    """Compares the usual outbox reader, `xid < pg_snapshot_xmin` ordered by (xid, pos), with our stream on the same changes."""
    make_items(database)
    by_xmin = """
        SELECT (data #>> '{new,n}')::integer FROM headrace.change_log
        WHERE source = 'items' AND xid < pg_snapshot_xmin(pg_current_snapshot()) AND op = 'U' ORDER BY xid, pos
    """
    with (
        psycopg.connect(database, autocommit=True) as reader,
        psycopg.connect(database) as early,
        psycopg.connect(database) as late,
        psycopg.connect(database) as unrelated,
    ):
        reader.execute("INSERT INTO items VALUES (1, 0)")
        unrelated.execute("SELECT pg_current_xact_id()")
        early.execute("SELECT pg_current_xact_id()")
        late.execute("UPDATE items SET n = 1 WHERE id = 1")
        late.commit()
        early.execute("UPDATE items SET n = 2 WHERE id = 1")
        early.commit()

        assert reader.execute(by_xmin).fetchall() == []  # stalled behind an unrelated transaction
        reader.execute("SELECT headrace.stream_step('items', 0, 100)")
        ours = reader.execute("SELECT n FROM probe.applied WHERE op = 'U' ORDER BY seq").fetchall()
        assert ours == [(1,), (2,)]

        unrelated.rollback()
        # Transactions in any database of the server can stall it; in the end the row would have its old value.
        wait_until(lambda: reader.execute(by_xmin).fetchall() == [(2,), (1,)], seconds=60)


def test_a_change_that_commits_late_comes_in_a_later_window(database: str) -> None:
    make_items(database)
    with psycopg.connect(database, autocommit=True) as reader, psycopg.connect(database) as slow:
        slow.execute("INSERT INTO items VALUES (1, 10)")
        reader.execute("INSERT INTO items VALUES (2, 20)")
        step = "SELECT status, changes FROM headrace.stream_step('items', 0, 100)"
        assert reader.execute(step).fetchone() == ("applied", 1)
        assert reader.execute(step).fetchone() == ("idle", 0)
        assert reader.execute("SELECT count(*) FROM headrace.stream_poll('{items}')").fetchone() == (0,)
        slow.commit()
        assert reader.execute(step).fetchone() == ("applied", 1)
        assert reader.execute("SELECT entity_id FROM probe.applied ORDER BY seq").fetchall() == [
            ("2",),
            ("1",),
        ]


def test_effects_and_cursor_commit_together_or_not_at_all(database: str) -> None:
    make_items(database)
    with psycopg.connect(database) as reader, psycopg.connect(database, autocommit=True) as writer:
        writer.execute("INSERT INTO items VALUES (1, 1)")
        reader.execute("SELECT headrace.stream_step('items', 0, 100)")
        busy = writer.execute("SELECT status FROM headrace.stream_step('items', 0, 100)").fetchone()
        assert busy == ("busy",)
        reader.rollback()
        assert writer.execute("SELECT count(*) FROM probe.applied").fetchone() == (0,)
        assert writer.execute(
            "SELECT status, changes FROM headrace.stream_step('items', 0, 100)"
        ).fetchone() == (
            "applied",
            1,
        )


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_stream_refuses_to_be_read_with_an_old_snapshot(database: str, level: str) -> None:
    make_items(database)
    with psycopg.connect(database) as reader:
        reader.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        with pytest.raises(psycopg.errors.InvalidTransactionState, match="READ COMMITTED"):
            reader.execute("SELECT headrace.stream_step('items', 0, 100)")


def test_a_bulk_transaction_is_drained_in_bounded_batches_and_flat_memory(database: str) -> None:
    make_items(database)
    rows = 300_000
    with psycopg.connect(database, autocommit=True) as worker, psycopg.connect(database) as loader:
        loader.execute("INSERT INTO items SELECT n, n FROM generate_series(1, %s) n", [rows])
        # While it is under way, it is neither delivered nor read repeatedly.
        assert worker.execute("SELECT count(*) FROM headrace.stream_poll('{items}')").fetchone() == (0,)
        loader.commit()
        applied, most_memory, steps = 0, 0, 0
        memory = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts"
        while True:
            step = worker.execute(
                "SELECT changes, more FROM headrace.stream_step('items', 0, 5000)"
            ).fetchone()
            assert step is not None
            assert step[0] <= 5000
            applied, steps = applied + step[0], steps + 1
            used = worker.execute(memory).fetchone()
            assert used is not None
            most_memory = max(most_memory, int(used[0]))
            if steps == 3:
                early_memory = most_memory
            if not step[1]:
                break
        assert (applied, steps) == (rows, rows // 5000)
        assert most_memory < early_memory + 8_000_000
        order = "SELECT count(*) FROM (SELECT pos - lag(pos) OVER (ORDER BY seq) AS d FROM probe.applied) s WHERE d <= 0"
        assert worker.execute(order).fetchone() == (0,)


def test_an_idle_poll_writes_nothing(database: str) -> None:
    make_items(database)
    with psycopg.connect(database, autocommit=True) as reader:
        reader.execute("INSERT INTO items VALUES (1, 1)")
        for stream in ("items", "campaign_stats"):
            reader.execute("SELECT headrace.stream_step(%s, 0, 100)", [stream])
        with reader.transaction():
            assert reader.execute("SELECT count(*) FROM headrace.stream_poll()").fetchone() == (0,)
            assert reader.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() == (None,)
            locks = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode NOT IN ('AccessShareLock', 'ExclusiveLock')"
            assert reader.execute(locks).fetchone() == (0,)


def test_a_change_of_foreign_sources_moves_a_cursor_on_without_being_handed_out(database: str) -> None:
    make_items(database)
    with psycopg.connect(database, autocommit=True) as reader:
        reader.execute("INSERT INTO campaigns (name) VALUES ('other')")
        step = reader.execute("SELECT status, changes FROM headrace.stream_step('items', 0, 100)").fetchone()
        assert step == ("idle", 0)
        assert reader.execute("SELECT count(*) FROM headrace.stream_poll('{items}')").fetchone() == (0,)
        assert reader.execute("SELECT count(*) FROM probe.applied").fetchone() == (0,)
