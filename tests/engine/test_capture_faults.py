"""Capture faults: doctor and migrate name each of them before the next write, and the printed remedy fixes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from orchestration.database.connections import engine
from orchestration.engine.capture import Fault, problems, read_faults
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError, Problem
from orchestration.install.contract import captured_sources, read_contract
from orchestration.install.doctor import diagnose
from orchestration.install.migrate import check_migration, migrate
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree
from tests.rows import a_history, insert
from tests.schema_dump import restore
from tests.sessions import as_role
from tests.source_shapes import PARTITIONED_QUEUE

MIGRATE = "headrace migrate"
SOURCES = captured_sources(read_contract().values())


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A session on a database with two counted campaigns."""
    with psycopg.connect(database, autocommit=True) as connection:
        a_history(connection)
        asyncio.run(drain(database))
        yield connection


def faults(url: str) -> list[Fault]:
    with engine(url).connect() as connection:
        return read_faults(connection, SOURCES)


def broken(url: str) -> list[Problem]:
    return problems(faults(url))


def mend(connection: psycopg.Connection[Any], url: str, settings: Settings, remedy: str) -> None:
    if remedy == MIGRATE:
        assert migrate(url, settings).changed
    else:
        connection.execute(remedy.encode())


def test_a_fresh_installation_has_no_fault(database: str) -> None:
    assert SOURCES == ["campaigns", "message_status_logs", "messages", "send_queue"]
    assert faults(database) == []


# What was done to capture, the sentence about it, and the remedy.
FAULTS: dict[str, tuple[str, list[str], str]] = {
    "a trigger was dropped": (
        'DROP TRIGGER "!headrace_delete" ON messages',
        ["capture trigger for delete is missing on table messages: such changes are not seen"],
        MIGRATE,
    ),
    "a trigger was disabled": (
        'ALTER TABLE send_queue DISABLE TRIGGER "!headrace_update"',
        ["capture trigger for update is disabled on table send_queue: such changes are not seen"],
        MIGRATE,
    ),
    "a trigger does not fire for replication": (
        'ALTER TABLE send_queue ENABLE TRIGGER "!headrace_insert"',
        [
            "capture trigger for insert is not ENABLE ALWAYS on table send_queue: changes that replication applies are not seen"
        ],
        MIGRATE,
    ),
    "a trigger fires only for replication": (
        'ALTER TABLE send_queue ENABLE REPLICA TRIGGER "!headrace_insert"',
        [
            "capture trigger for insert is not ENABLE ALWAYS on table send_queue: changes that replication applies are not seen"
        ],
        MIGRATE,
    ),
    "a trigger was made again by hand": (
        'DROP TRIGGER "!headrace_update" ON campaigns; CREATE TRIGGER "!headrace_update" AFTER UPDATE ON campaigns'
        " FOR EACH ROW EXECUTE FUNCTION headrace.capture_campaigns_update();"
        ' ALTER TABLE campaigns ENABLE ALWAYS TRIGGER "!headrace_update"',
        ["capture trigger for update on table campaigns is not as migrate makes it: changes may not be seen"],
        MIGRATE,
    ),
    "a trigger's WHEN was replaced": (
        'CREATE OR REPLACE TRIGGER "!headrace_update" AFTER UPDATE ON campaigns FOR EACH ROW'
        " WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION headrace.capture_campaigns_update();"
        ' ALTER TABLE campaigns ENABLE ALWAYS TRIGGER "!headrace_update"',
        ["capture trigger for update on table campaigns is not as migrate makes it: changes may not be seen"],
        MIGRATE,
    ),
    "a trigger calls another function": (
        'CREATE OR REPLACE TRIGGER "!headrace_delete" AFTER DELETE ON campaigns REFERENCING OLD TABLE AS changed_rows'
        " FOR EACH STATEMENT EXECUTE FUNCTION headrace.capture_messages_delete();"
        ' ALTER TABLE campaigns ENABLE ALWAYS TRIGGER "!headrace_delete"',
        ["capture trigger for delete on table campaigns is not as migrate makes it: changes may not be seen"],
        MIGRATE,
    ),
    "a function was rewritten": (
        "CREATE OR REPLACE FUNCTION headrace.capture_send_queue_insert() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, headrace, pg_temp AS 'BEGIN RETURN NULL; END'",
        [
            "function headrace.capture_send_queue_insert is not as migrate made it:"
            " what it logs of table send_queue cannot be relied on"
        ],
        MIGRATE,
    ),
    "a function acts with the writer's rights": (
        "ALTER FUNCTION headrace.capture_messages_update() SECURITY INVOKER",
        [
            "function headrace.capture_messages_update is not as migrate made it:"
            " what it logs of table messages cannot be relied on"
        ],
        MIGRATE,
    ),
    "a function was dropped": (
        "DROP FUNCTION headrace.capture_messages_truncate() CASCADE",
        ["capture trigger for truncate is missing on table messages: such changes are not seen"],
        MIGRATE,
    ),
    "all triggers were dropped": (
        'DROP TRIGGER "!headrace_insert" ON messages; DROP TRIGGER "!headrace_update" ON messages;'
        ' DROP TRIGGER "!headrace_delete" ON messages; DROP TRIGGER "!headrace_truncate" ON messages',
        [
            "table messages has no capture triggers (it was made anew, or they were dropped): its changes are not seen"
        ],
        MIGRATE,
    ),
    "what was installed is not known": (
        "DELETE FROM headrace.source WHERE source = 'messages'",
        ["capture of table messages was installed by an older version, or not at all"],
        MIGRATE,
    ),
    "the table was replaced by one of its name": (
        "ALTER TABLE message_status_logs RENAME TO logs_before;"
        " CREATE TABLE message_status_logs (LIKE logs_before INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING IDENTITY);"
        " INSERT INTO message_status_logs OVERRIDING SYSTEM VALUE SELECT * FROM logs_before WHERE id % 2 = 0",
        [
            "table message_status_logs has no capture triggers (it was replaced, the triggers are on logs_before):"
            " its changes are not seen",
            "table message_status_logs is another one than when Headrace was installed: what reads it is paused",
        ],
        MIGRATE,
    ),
    "the table has another name": (
        "ALTER TABLE messages RENAME TO chat_messages",
        ["table messages is now called chat_messages: what reads it is paused"],
        "ALTER TABLE public.chat_messages RENAME TO messages;",
    ),
    "the table went to another schema": (
        'CREATE SCHEMA "Else where"; ALTER TABLE messages SET SCHEMA "Else where"',
        ["table messages is now called Else where.messages: what reads it is paused"],
        'ALTER TABLE "Else where".messages SET SCHEMA public;',
    ),
    "a column was renamed": (
        'ALTER TABLE send_queue RENAME user_phone TO "the phone"',
        ["column user_phone of table send_queue is now called the phone: what reads it is paused"],
        'ALTER TABLE public.send_queue RENAME COLUMN "the phone" TO user_phone;',
    ),
    "two columns were renamed": (
        "ALTER TABLE messages RENAME user_phone TO phone; ALTER TABLE messages RENAME whatsapp_number_id TO number",
        [
            "column user_phone of table messages is now called phone: what reads it is paused",
            "column whatsapp_number_id of table messages is now called number: what reads it is paused",
        ],
        "ALTER TABLE public.messages RENAME COLUMN phone TO user_phone;"
        " ALTER TABLE public.messages RENAME COLUMN number TO whatsapp_number_id;",
    ),
    "a column has another type": (
        "ALTER TABLE send_queue ALTER id TYPE text",
        ["column id of table send_queue was uuid and is text now: what reads it is paused"],
        MIGRATE,
    ),
    "row-level security hides rows": (
        "ALTER TABLE messages ENABLE ROW LEVEL SECURITY",
        ["row-level security hides rows of table messages from role headrace_owner: what reads it is paused"],
        MIGRATE,
    ),
    "the right to read was taken away": (
        "REVOKE ALL ON send_queue FROM headrace_owner",
        ["role headrace_owner may not read table send_queue: what reads it is paused"],
        MIGRATE,
    ),
    "an optional column was dropped": (
        "ALTER TABLE messages DROP context_message_id CASCADE",
        ["column context_message_id of table messages is gone: what reads it is paused"],
        MIGRATE,
    ),
}


@pytest.mark.parametrize(("harm", "sentences", "remedy"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named_with_what_mends_it(
    harm: str,
    sentences: list[str],
    remedy: str,
    admin: psycopg.Connection[Any],
    database: str,
    settings: Settings,
) -> None:
    admin.execute(harm.encode())
    found = broken(database)
    assert sorted(problem.what for problem in found) == sorted(sentences)
    assert {problem.remedy for problem in found} <= set(remedy.replace("; ", ";\n").split("\n"))
    said = diagnose(database, settings).errors
    assert set(found) <= set(said)
    mend(admin, database, settings, remedy)
    assert faults(database) == []
    assert diagnose(database, settings).errors == ()
    # As good as new: missed changes are counted, and so are new ones.
    if remedy != MIGRATE:
        assert check_migration(database, settings) == []
    insert(admin, "send_queue", campaign_id=admin.execute("SELECT id FROM campaigns").fetchall()[0][0])
    admin.execute("UPDATE send_queue SET status = 'sent' WHERE status = 'queued'")
    admin.execute("DELETE FROM message_status_logs WHERE id % 3 = 0")
    asyncio.run(drain(database))
    assert_all_agree(admin)


@pytest.mark.parametrize(
    ("harm", "sentences", "remedy"),
    [FAULTS["a trigger was disabled"], FAULTS["a function was rewritten"]],
)
def test_migrate_check_says_the_same(
    harm: str,
    sentences: list[str],
    remedy: str,
    admin: psycopg.Connection[Any],
    database: str,
    settings: Settings,
) -> None:
    assert check_migration(database, settings) == []
    admin.execute(harm.encode())
    assert check_migration(database, settings) == sentences
    assert remedy == MIGRATE


def test_migrate_refuses_a_renamed_column_with_the_statement_that_renames_it_back(
    admin: psycopg.Connection[Any], database: str, settings: Settings
) -> None:
    admin.execute("ALTER TABLE send_queue RENAME user_phone TO phone")
    rename = "ALTER TABLE public.send_queue RENAME COLUMN phone TO user_phone;"
    with pytest.raises(
        HeadraceError, match="column user_phone of table send_queue is now called phone"
    ) as caught:
        migrate(database, settings)
    assert rename in str(caught.value)
    assert "ADD COLUMN" not in str(caught.value)
    assert [problem.remedy for problem in diagnose(database, settings).errors] == [rename]


def test_a_renamed_column_may_stay_where_a_generated_one_bears_its_old_name(
    admin: psycopg.Connection[Any], database: str, settings: Settings
) -> None:
    admin.execute("ALTER TABLE send_queue RENAME user_phone TO phone")
    admin.execute("ALTER TABLE send_queue ADD user_phone text GENERATED ALWAYS AS (phone) STORED")
    assert [fault.kind for fault in faults(database)] == ["type"]
    for problem in diagnose(database, settings).errors:
        if problem.remedy != MIGRATE:
            admin.execute(problem.remedy.replace("CONCURRENTLY ", "").encode())
    migrate(database, settings)
    assert diagnose(database, settings).errors == ()
    admin.execute("UPDATE send_queue SET phone = 'phone 3' WHERE phone IN ('phone 1', 'phone 2')")
    admin.execute("DELETE FROM send_queue WHERE phone = 'phone 5'")
    asyncio.run(drain(database))
    assert_all_agree(admin)


def test_after_a_replaced_table_its_predecessor_is_free_of_triggers_and_read_no_more(
    admin: psycopg.Connection[Any], database: str, settings: Settings
) -> None:
    admin.execute(FAULTS["the table was replaced by one of its name"][0].encode())
    assert migrate(database, settings).rebuilds == 2
    left = admin.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'logs_before'::regclass").fetchall()
    assert left == []
    admin.execute("DROP TABLE logs_before")
    assert faults(database) == []


def test_a_role_with_the_workers_rights_finds_the_same_faults(
    admin: psycopg.Connection[Any], database: str
) -> None:
    admin.execute("ALTER TABLE send_queue RENAME user_phone TO phone")
    admin.execute("ALTER FUNCTION headrace.capture_messages_update() SECURITY INVOKER")
    assert len(faults(database)) == 2
    assert faults(as_role(database, "headrace_worker")) == faults(database)


# --- partitions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def partitioned(app_database: str, settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A session on a database whose queue is partitioned by month."""
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute(PARTITIONED_QUEUE.encode())
        a_history(connection)
        migrate(app_database, settings)
        yield connection


def test_a_partition_without_one_is_named_and_gets_it(
    partitioned: psycopg.Connection[Any], app_database: str, settings: Settings
) -> None:
    assert faults(app_database) == []
    partitioned.execute(
        "CREATE TABLE send_queue_2028 PARTITION OF send_queue FOR VALUES FROM ('2028-01-01 00:00+00') TO ('2029-01-01 00:00+00')"
    )
    partitioned.execute('ALTER TABLE send_queue_2026_03 DISABLE TRIGGER "!headrace_update"')
    assert [problem.what for problem in broken(app_database)] == [
        "capture trigger for update is disabled on table send_queue_2026_03 (a partition of send_queue): such changes are not seen",
        "capture trigger for truncate is missing on table send_queue_2028 (a partition of send_queue): such changes are not seen",
    ]
    assert migrate(app_database, settings).changed
    assert faults(app_database) == []


def test_a_column_renamed_in_a_partitioned_table_is_one_fault(
    partitioned: psycopg.Connection[Any], app_database: str
) -> None:
    partitioned.execute("ALTER TABLE send_queue RENAME user_phone TO phone")
    (found,) = broken(app_database)
    assert found.what == "column user_phone of table send_queue is now called phone: what reads it is paused"


def test_a_detached_partition_is_no_fault_and_loses_its_trigger_at_the_next_repair(
    partitioned: psycopg.Connection[Any], app_database: str, settings: Settings
) -> None:
    partitioned.execute("ALTER TABLE send_queue DETACH PARTITION send_queue_rest")
    assert faults(app_database) == []
    migrate(app_database, settings)
    left = partitioned.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'send_queue_rest'::regclass"
    ).fetchall()
    assert left == []


def test_a_table_that_became_a_partition_of_its_successor_is_captured_through_it(
    admin: psycopg.Connection[Any], database: str, settings: Settings
) -> None:
    admin.execute("""
        ALTER TABLE send_queue RENAME TO send_queue_until_now;
        ALTER TABLE send_queue_until_now DROP CONSTRAINT send_queue_pkey, ADD PRIMARY KEY (id, created_at);
        CREATE TABLE send_queue (LIKE send_queue_until_now INCLUDING DEFAULTS INCLUDING INDEXES) PARTITION BY RANGE (created_at);
        ALTER TABLE send_queue ATTACH PARTITION send_queue_until_now DEFAULT;
    """)
    assert [fault.kind for fault in faults(database)] == ["bare", "replaced"]
    assert migrate(database, settings).rebuilds == 2
    assert faults(database) == []
    insert(admin, "send_queue", campaign_id=admin.execute("SELECT id FROM campaigns").fetchall()[0][0])
    admin.execute("UPDATE send_queue_until_now SET status = 'sent' WHERE status = 'queued'")
    asyncio.run(drain(database))
    assert_all_agree(admin)


def test_a_table_that_replication_fills_from_now_on_needs_row_triggers(
    admin: psycopg.Connection[Any], database: str, settings: Settings
) -> None:
    admin.execute(
        "CREATE SUBSCRIPTION mirror CONNECTION 'dbname=none' PUBLICATION none WITH (connect = false)"
    )
    admin.execute("ALTER SUBSCRIPTION mirror SET (slot_name = NONE)")
    try:
        admin.execute("SET allow_system_table_mods = on")
        admin.execute(
            "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
            " SELECT oid, 'messages'::regclass, 'r' FROM pg_subscription WHERE subname = 'mirror'"
        )
        assert {problem.what for problem in broken(database)} == {
            f"capture trigger for {operation} on table messages is not as migrate makes it: changes may not be seen"
            for operation in ("insert", "delete")
        }
        assert migrate(database, settings).changed
        assert faults(database) == []
    finally:
        admin.execute("DROP SUBSCRIPTION mirror")


def test_a_restored_database_has_no_fault_once_its_streams_begin_anew_and_renames_in_it_are_known(
    app_database: str, new_database: Callable[[str | None], str], settings: Settings
) -> None:
    """A restore renumbers tables, types and columns; dropped attributes leave no gap."""
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE send_queue ADD gap text, DROP sent_at CASCADE")
        connection.execute("ALTER TABLE send_queue DROP gap, ADD sent_at timestamptz")
        connection.execute(
            "CREATE INDEX ON send_queue (user_phone, whatsapp_number_id, coalesce(sent_at, created_at), id)"
        )
    migrate(app_database, settings)
    restored = new_database(None)
    restore(app_database, restored)
    with psycopg.connect(restored, autocommit=True) as connection:
        assert {fault.kind for fault in faults(restored)} == {"replaced"}
        connection.execute("SELECT headrace.rebase_stream('campaign_stats')")
        assert faults(restored) == []
        numbers = (
            "SELECT attnum FROM pg_attribute WHERE attrelid = 'send_queue'::regclass AND attname = 'sent_at'"
        )
        with psycopg.connect(app_database) as before:
            assert before.execute(numbers).fetchone() != connection.execute(numbers).fetchone()
        connection.execute("ALTER TABLE send_queue RENAME sent_at TO at")
        connection.execute("ALTER TABLE send_queue RENAME created_at TO made")
    assert {(fault.column, fault.found) for fault in faults(restored)} == {
        ("sent_at", "at"),
        ("created_at", "made"),
    }
