"""A catch-up with a time limit ends in time and says what was in the way. A heartbeat waits for nobody. Counting of lag is bounded."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestration.demo.campaign_stats.load import create_schema
from orchestration.engine import worker as working
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError
from orchestration.install.doctor import diagnose
from orchestration.install.migrate import migrate
from orchestration.local.server import ensure_server, stop_server
from orchestration.settings import Settings
from tests.concurrency.items import make_items
from tests.rows import insert
from tests.sessions import open_transaction, wait_until


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def cut_off(url: str, seconds: float = 1.0, streams: list[str] | None = None) -> str:
    """What a catch-up says when its time is up."""
    with pytest.raises(HeadraceError) as raised:
        asyncio.run(asyncio.wait_for(drain(url, streams, timeout_seconds=seconds), 20))
    assert raised.value.exit_code == 3
    return str(raised.value)


def test_a_step_that_waits_for_a_lock_is_cut_off_and_its_holder_named(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    campaign = insert(admin, "campaigns", name="c")
    asyncio.run(drain(database))
    admin.execute("INSERT INTO send_queue (campaign_id) VALUES (%s)", [campaign])
    with open_transaction(database, "SELECT FROM headrace.campaign FOR UPDATE") as holder:
        said = cut_off(database)
        assert said.startswith(
            "not idle after 1 s: under way: changes of stream campaign_stats shard 0; pid "
        )
        assert f"; pid {holder.info.backend_pid} (" in said
        assert "holds a lock that headrace drain waits for: SELECT FROM headrace.campaign" in said
        assert "changes kept coming" not in said
    waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'headrace drain' AND datname = current_database()"
    wait_until(lambda: admin.execute(waiting).fetchall() == [])
    assert asyncio.run(drain(database, timeout_seconds=20)).changes == 1


def test_a_look_that_waits_for_a_lock_is_cut_off_too(database: str) -> None:
    with open_transaction(database, "LOCK TABLE headrace.stream_cursor IN ACCESS EXCLUSIVE MODE") as holder:
        said = cut_off(database)
        assert said.startswith("not idle after 1 s: under way: a look at what there is to do; pid ")
        assert f"; pid {holder.info.backend_pid} (" in said
        assert said.endswith("what else there is could not be read within 1 s")


def test_a_step_that_takes_long_is_cut_off_and_leaves_the_cursor_where_it_was(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    make_items(database)
    admin.execute("""
        CREATE FUNCTION probe.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
        CREATE TRIGGER slow AFTER INSERT ON probe.applied EXECUTE FUNCTION probe.slow();
    """)
    admin.execute("INSERT INTO items SELECT n, n FROM generate_series(1, 5) n")
    said = cut_off(database, streams=["items"])
    assert "under way: changes of stream items shard 0; stream items shard 0 is 5 changes, " in said
    admin.execute("DROP TRIGGER slow ON probe.applied")
    assert asyncio.run(drain(database, ["items"])).changes == 5


def test_a_rebuild_that_waits_is_cut_off_with_its_campaign_named_and_is_not_its_fault(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    campaign = insert(admin, "campaigns", name="c")
    insert(admin, "send_queue", campaign_id=campaign, template_name="t")
    asyncio.run(drain(database))
    admin.execute("SELECT headrace.request_rebuild(ARRAY[%s::uuid])", [campaign])
    with open_transaction(database, "LOCK TABLE headrace.campaign_template_stats") as holder:
        said = cut_off(database)
        assert f"under way: a rebuild of stream campaign_stats: {campaign}; " in said
        assert f"; pid {holder.info.backend_pid} (" in said
        assert said.endswith("stream campaign_stats has 1 to rebuild")
    assert admin.execute("SELECT rebuild_error FROM headrace.campaign").fetchall() == [(None,)]
    assert asyncio.run(drain(database, timeout_seconds=20)).rebuilt == 1


def test_whoever_has_no_time_left_is_told_whether_there_is_anything_to_do(database: str) -> None:
    assert asyncio.run(drain(database, timeout_seconds=0)).changes == 0


# --- prepared transactions -----------------------------------------------------------------------------------------


@pytest.fixture
def preparing(server_url: str, settings: Settings) -> Iterator[str]:
    """A database with Headrace on a server that allows prepared transactions: the one under test, or a separate one."""
    with psycopg.connect(server_url, autocommit=True) as admin:
        if admin.execute("SHOW max_prepared_transactions").fetchone() != ("0",):
            admin.execute("CREATE DATABASE preparing")
            scheme, rest = server_url.split("://", 1)
            authority, _, tail = rest.partition("/")
            url = f"{scheme}://{authority}/preparing" + (f"?{tail.partition('?')[2]}" if "?" in tail else "")
            try:
                create_schema(url, "public")
                migrate(url, settings)
                yield url
            finally:
                admin.execute("DROP DATABASE preparing WITH (FORCE)")
            return
    home = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    home.chmod(0o755)
    try:
        with psycopg.connect(ensure_server(home).url("postgres"), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
        stop_server(home)
        url = ensure_server(home).url("app")
        create_schema(url, "public")
        migrate(url, settings)
        yield url
    finally:
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


def test_a_prepared_transaction_that_holds_what_is_waited_for_is_named_everywhere(
    preparing: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(preparing, autocommit=True) as admin:
        campaign = insert(admin, "campaigns", name="c")
        asyncio.run(drain(preparing))
        admin.execute("""
            BEGIN;
            SELECT FROM headrace.campaign FOR UPDATE;
            INSERT INTO campaigns (name) VALUES ('prepared');
            PREPARE TRANSACTION 'it''s forgotten';
        """)
        try:
            assert admin.execute(
                "SELECT pid, role_name::text, gid, seconds >= 0 FROM headrace.oldest_writer()"
            ).fetchone() == (None, "postgres", "it's forgotten", True)
            lag = "SELECT oldest_writer_pid, oldest_writer_gid, oldest_writer_seconds >= 0 FROM headrace.stream_lag"
            assert admin.execute(lag).fetchone() == (None, "it's forgotten", True)
            admin.execute("INSERT INTO send_queue (campaign_id) VALUES (%s)", [campaign])
            said = cut_off(preparing)
            assert "; prepared transaction it's forgotten (of postgres, " in said
            assert "waits for; if it was forgotten: ROLLBACK PREPARED 'it''s forgotten'" in said
            assert "oldest writer: prepared transaction it's forgotten, " in said
            monkeypatch.setattr("orchestration.install.doctor.OLD_WRITER_SECONDS", 0)
            (note,) = [n for n in diagnose(preparing, settings).notes if "prepared transaction" in n.what]
            assert note.what.startswith("prepared transaction it's forgotten of role postgres has waited ")
            assert note.remedy == "ROLLBACK PREPARED 'it''s forgotten'; -- if it was forgotten"
        finally:
            admin.execute("ROLLBACK PREPARED 'it''s forgotten'")
        assert asyncio.run(drain(preparing, timeout_seconds=20)).changes == 1


# --- the heartbeat -------------------------------------------------------------------------------------------------


def test_the_heart_beats_while_steps_and_housekeeping_wait(
    database: str, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "HEARTBEAT_SECONDS", 0.05)
    insert(admin, "campaigns", name="c")

    def beats() -> datetime:
        row = admin.execute("SELECT max(seen_at) FROM headrace.worker").fetchone()
        return row[0] if row and row[0] else datetime.min.replace(tzinfo=UTC)

    def waits(holder: int) -> bool:
        return (
            admin.execute("SELECT FROM headrace.held_up() WHERE holder_pid = %s", [holder]).fetchone()
            is not None
        )

    async def until(condition: Callable[[], bool]) -> None:
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.02)
        raise AssertionError("what the test waits for never came")

    async def work() -> None:
        worker = working.Worker(database)
        running = asyncio.ensure_future(worker.run())
        await until(lambda: beats() > datetime.min.replace(tzinfo=UTC) and bool(worker._drainers))
        both = "LOCK TABLE headrace.dead_letter, headrace.stream_cursor IN ACCESS EXCLUSIVE MODE"
        with open_transaction(database, both) as holder:
            await until(lambda: waits(holder.info.backend_pid))
            seen = beats()
            await until(lambda: beats() >= seen + timedelta(seconds=0.2))
        worker.stop()
        await running

    asyncio.run(asyncio.wait_for(work(), 60))
    assert admin.execute("SELECT state FROM headrace.worker").fetchall() == [("stopped",)]


# --- lag -----------------------------------------------------------------------------------------------------------


def test_changes_behind_are_counted_up_to_a_limit_with_the_age_of_the_oldest(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    make_items(database)
    asyncio.run(drain(database))
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    admin.execute(
        "INSERT INTO headrace.change_log (source, op, changed_at) VALUES ('items', 'D', %s)", [hour_ago]
    )
    admin.execute("INSERT INTO items SELECT n, n FROM generate_series(1, 25) n")
    behind = """
        SELECT rows_behind, more_behind, oldest_change FROM headrace.changes_behind(%s) WHERE stream = 'items'
    """
    assert admin.execute(behind, [10]).fetchone() == (10, True, hour_ago)
    assert admin.execute(behind, [25]).fetchone() == (25, True, hour_ago)
    assert admin.execute(behind, [26]).fetchone() == (26, False, hour_ago)
    # In an open window all changes are known, however many there are; beyond it the limit applies again.
    admin.execute("SELECT headrace.stream_step('items', 0, 6)")
    admin.execute("UPDATE items SET n = n + 1")
    (rows, more, oldest) = admin.execute(behind, [10]).fetchall()[0]
    assert (rows, more) == (20 + 10, True)
    assert oldest > hour_ago
    assert admin.execute(behind, [1000]).fetchone() == (20 + 25, False, oldest)
    asyncio.run(drain(database))
    assert admin.execute(behind, [10]).fetchone() == (0, False, None)


def test_a_change_that_committed_late_is_behind_too(database: str, admin: psycopg.Connection[Any]) -> None:
    make_items(database)
    with open_transaction(database, "INSERT INTO items VALUES (1, 1)") as writer:
        admin.execute("INSERT INTO items VALUES (2, 2)")
        asyncio.run(drain(database))
        behind = "SELECT rows_behind, more_behind FROM headrace.stream_lag WHERE stream = 'items'"
        assert admin.execute(behind).fetchone() == (0, False)
        writer.commit()
    assert admin.execute(behind).fetchone() == (1, False)
