"""Installing and upgrading: whole or not at all, repeatedly, twice at once, beside a working application."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from orchestration.database.sql_files import SqlObject
from orchestration.demo.campaign_stats.load import create_schema
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError
from orchestration.install import change, stream_requests
from orchestration.install import migrate as migrating
from orchestration.install.doctor import diagnose
from orchestration.install.fingerprints import of_definitions
from orchestration.install.migrate import Migrated, check_migration, migrate
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree, live, recompute, stored
from tests.rows import a_history, insert
from tests.schema_dump import schema_dump
from tests.sessions import InThread, as_role, open_transaction
from tests.source_shapes import PARTITIONED_QUEUE, VARCHAR_AND_BIGINT

EVERY_TABLE_WRITTEN = """
    INSERT INTO campaigns (name) VALUES ('open');
    INSERT INTO send_queue (status) VALUES ('queued');
    INSERT INTO message_status_logs (status) VALUES ('sent');
    INSERT INTO messages (direction) VALUES ('incoming');
    INSERT INTO campaign_contacts (user_phone) VALUES ('1')
"""


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def is_installed(url: str) -> bool:
    return run(url, "SELECT to_regnamespace('headrace') IS NOT NULL") == [(True,)]


def state(url: str) -> list[list[tuple[Any, ...]]]:
    """What a migrate that changes nothing must leave alone: rows by their version, triggers by their identity."""
    return [
        run(url, "SELECT xmin, * FROM headrace.installation ORDER BY name"),
        run(url, "SELECT xmin, * FROM headrace.stream_cursor"),
        run(url, "SELECT oid, xmin, tgname FROM pg_trigger ORDER BY oid"),
        run(
            url,
            "SELECT oid, relname FROM pg_class WHERE relnamespace = 'headrace'::regnamespace ORDER BY oid",
        ),
    ]


def never_sleeps(seconds: float) -> None:
    raise AssertionError(f"it had to wait for a lock, and would sleep {seconds} s")


# --- again, and at once ----------------------------------------------------------------------------------------


def test_a_second_migrate_changes_nothing(database: str, settings: Settings) -> None:
    dumped, before = schema_dump(database), state(database)
    assert migrate(database, settings) == Migrated(("campaign_stats",), rebuilds=0, changed=False)
    assert schema_dump(database) == dumped
    assert state(database) == before
    assert check_migration(database, settings) == []


def test_a_second_migrate_takes_no_lock_that_open_writers_or_drops_would_wait_for(
    database: str, settings: Settings
) -> None:
    with (
        open_transaction(database, EVERY_TABLE_WRITTEN),
        open_transaction(database, "SELECT FROM headrace.stream_lag"),
    ):
        assert not migrate(database, settings, sleep=never_sleeps).changed


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_migrates_at_once_are_all_fine_whatever_the_databases_isolation(
    isolation: str, app_database: str, settings: Settings
) -> None:
    (name,) = run(app_database, "SELECT current_database()")[0]
    run(app_database, f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    with psycopg.connect(app_database) as connection:
        campaigns = a_history(connection)
    threads = [InThread(lambda: migrate(app_database, settings)) for _ in range(3)]
    done = [thread.outcome() for thread in threads]
    assert sorted(item.changed for item in done) == [False, False, True]
    assert sum(item.rebuilds for item in done) == len(campaigns)
    assert diagnose(app_database, settings).errors == ()
    assert run(app_database, "SELECT count(*) FROM headrace.stream_cursor") == [(1,)]


def test_an_installation_beside_open_writers_retries_and_holds_nobody_up_for_a_second(
    app_database: str, settings: Settings
) -> None:
    slept: list[float] = []

    def nap(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(min(seconds, 0.1))

    waits: list[float] = []
    with (
        open_transaction(app_database, EVERY_TABLE_WRITTEN) as writer,
        psycopg.connect(app_database, autocommit=True) as other,
    ):
        migrating_beside = InThread(lambda: migrate(app_database, settings, sleep=nap))
        while len(slept) < 3:
            before = time.monotonic()
            other.execute(EVERY_TABLE_WRITTEN.encode())
            waits.append(time.monotonic() - before)
        assert not is_installed(app_database)
        writer.commit()
        assert migrating_beside.outcome().changed
    assert max(waits) < 1.5
    assert all(0.1 <= seconds <= 1.0 for seconds in slept)
    asyncio.run(drain(app_database))
    with psycopg.connect(app_database) as connection:
        assert_all_agree(connection)


def test_campaigns_are_queued_before_a_table_of_the_application_is_locked(
    app_database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of thousands of them take seconds, during which no writer may have to wait."""
    with psycopg.connect(app_database, autocommit=True) as connection:
        campaigns = a_history(connection)
    execute = migrating.execute
    seen: list[tuple[str, bool, object]] = []

    def watched(connection: sa.Connection, script: str) -> list[tuple[Any, ...]]:
        locks = execute(
            connection,
            "SELECT 1 FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'ShareRowExclusiveLock'"
            " AND relation = ANY ('{public.campaigns,public.send_queue,public.message_status_logs,public.messages}'::regclass[])",
        )
        rows = execute(connection, script)
        for step in (
            "SELECT headrace.queue_new_campaigns(",
            "SELECT headrace.register_stream(",
            "SELECT headrace.capture_spec(",
        ):
            if script.startswith(step) or f"\n{step}" in script:
                seen.append((step.split()[1].split(".")[-1].strip("("), bool(locks), rows[0][0]))
        return rows

    monkeypatch.setattr(migrating, "execute", watched)
    monkeypatch.setattr(stream_requests, "execute", watched)
    migrate(app_database, settings)
    assert seen[0] == ("register_stream", False, len(campaigns))
    assert [step for step, _, _ in seen[1:]] == ["capture_spec"] * 4 + ["queue_new_campaigns"]
    assert seen[-1] == ("queue_new_campaigns", True, 0)


BEFORE_0004 = """
    DROP TABLE headrace.campaign_hour, headrace.campaign_frozen_hours, headrace.campaign_latency, headrace.campaign_completion,
        headrace.campaign_stats_amendment, headrace.campaign_stats_pending_amendment CASCADE;
    ALTER TABLE headrace.campaign DROP completed_at, DROP announced_at, DROP reopened_at, DROP settles_until, DROP frozen_status,
        DROP source_rows, DROP late_messages, DROP last_version CASCADE;
    ALTER TABLE headrace.message_outcome DROP sent_at, DROP delivered_at, DROP read_at, DROP replied_at CASCADE;
    ALTER TABLE headrace.campaign_computed_stats DROP facts CASCADE, DROP deleted_at CASCADE;
    ALTER TABLE headrace.change_log ADD CONSTRAINT change_log_op_known CHECK (op IN ('I', 'U', 'D', 'T'));
    DROP FUNCTION headrace.source_problems(text[]);
    DROP TABLE headrace.source, headrace.webhook_lock;
    ALTER TABLE headrace.stream DROP rows_left, DROP rebuild_pick, DROP rebuild_items, DROP rebuild_put_off,
        DROP domain, DROP rebuild_new, DROP on_setting, DROP unit;
    ALTER TABLE headrace.stream_cursor DROP window_left, DROP window_widest;
    DROP INDEX headrace.campaign_rebuild_due, headrace.campaign_rebuild_failed;
    ALTER TABLE headrace.campaign DROP document_due_at CASCADE;
    CREATE INDEX campaign_rebuild_queue ON headrace.campaign (rebuild_requested_at) WHERE rebuild_requested_at IS NOT NULL;
    ALTER TABLE headrace.campaign_template_stats DROP template_md5 CASCADE;
    CREATE UNIQUE INDEX campaign_template_stats_key ON headrace.campaign_template_stats
        (campaign_id, md5(template_name)) NULLS NOT DISTINCT;
    DROP INDEX headrace.webhook_reject_once;
    ALTER TABLE headrace.webhook_reject DROP sender, DROP notice;
    CREATE UNIQUE INDEX webhook_reject_once ON headrace.webhook_reject (md5(item::text), reason, path);
    UPDATE headrace.schema_version SET version_num = '0003'
"""


def test_a_version_that_locks_the_log_gets_through_while_everybody_writes(
    database: str, settings: Settings
) -> None:
    """A writer locks its table, then the log. Taking them the other way round would deadlock with it."""
    run(database, BEFORE_0004)
    stopping = threading.Event()

    def write() -> int:
        written = 0
        with psycopg.connect(database, autocommit=True) as connection:
            while not stopping.is_set():
                connection.execute(EVERY_TABLE_WRITTEN.encode())
                written += 1
        return written

    writers = [InThread(write) for _ in range(3)]
    try:
        migrate(database, settings)
    finally:
        stopping.set()
    assert min(writer.outcome() for writer in writers) > 0
    assert check_migration(database, settings) == []
    asyncio.run(drain(database))
    with psycopg.connect(database) as connection:
        assert_all_agree(connection)


def test_it_gives_up_after_a_minute_with_a_sentence_and_nothing_half_done(
    app_database: str, settings: Settings
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += 25

    with (
        open_transaction(app_database, "INSERT INTO messages (direction) VALUES ('incoming')"),
        pytest.raises(
            HeadraceError,
            match=r"a table it needs was locked for 60 s .*held now: public.messages by pid \d+ ",
        ) as caught,
    ):
        migrate(app_database, settings, sleep=sleep, clock=lambda: now[0])
    assert caught.value.exit_code != 0
    assert now[0] >= 60
    assert not is_installed(app_database)


def test_who_holds_the_lock_by_which_migrations_take_turns_is_named(
    app_database: str, settings: Settings
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += 25

    with psycopg.connect(app_database, autocommit=True, application_name="a stranger") as stranger:
        stranger.execute("SELECT pg_advisory_lock(%s, %s)", change.TURN)
        pid, role = stranger.info.backend_pid, stranger.info.user
        with pytest.raises(HeadraceError) as caught:
            migrate(app_database, settings, sleep=sleep, clock=lambda: now[0])
        assert f"pid {pid} (a stranger, role {role}) holds it" in str(caught.value)
        assert f"SELECT pg_terminate_backend({pid})" in str(caught.value)
        assert "table" not in str(caught.value)
        stranger.execute("SELECT pg_advisory_unlock_all()")
    migrate(app_database, settings)


# --- what it refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "breaking",
    [
        "ALTER TABLE send_queue DROP COLUMN sent_at; ALTER TABLE messages DROP COLUMN direction",
        "DROP TABLE campaign_contacts",
        "DROP INDEX send_queue_campaign",
    ],
)
def test_a_database_that_does_not_fit_is_refused_whole_in_the_words_of_doctor(
    breaking: str, app_database: str, settings: Settings
) -> None:
    run(app_database, breaking)
    found = [
        problem for problem in diagnose(app_database, settings).errors if problem.remedy != "headrace migrate"
    ]
    assert found
    with pytest.raises(HeadraceError, match="nothing was changed") as caught:
        migrate(app_database, settings)
    for problem in found:
        assert problem.what in str(caught.value)
        assert problem.remedy in str(caught.value)
    assert not is_installed(app_database)
    with pytest.raises(HeadraceError, match="nothing was changed"):
        check_migration(app_database, settings)


def test_an_installed_database_that_no_longer_fits_is_left_as_it_is(
    database: str, settings: Settings
) -> None:
    run(database, "DROP INDEX send_queue_campaign; DROP FUNCTION headrace.rebuild_step(bigint, boolean)")
    with pytest.raises(HeadraceError, match=r"lacks an index on \(campaign_id\)"):
        migrate(database, settings)
    assert run(database, "SELECT to_regproc('headrace.rebuild_step')") == [(None,)]


def test_an_old_server_is_refused(
    app_database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "OLDEST_SERVER", 99)
    for command in (migrate, check_migration, diagnose):
        with pytest.raises(HeadraceError, match=r"the server is PostgreSQL \d+; Headrace needs 99 or newer"):
            command(app_database, settings)
    assert not is_installed(app_database)


@pytest.mark.parametrize(
    "rights",
    [
        "SELECT",
        "GRANT CREATE ON DATABASE {database} TO {role}",
        "GRANT CREATE ON DATABASE {database} TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
    ],
    ids=["none", "only CREATE", "not the owner"],
)
def test_a_role_without_the_rights_is_told_which_and_nothing_is_half_done(
    rights: str, migrating_role: str, app_database: str, settings: Settings
) -> None:
    (name,) = run(app_database, "SELECT current_database()")[0]
    run(app_database, rights.format(database=name, role=migrating_role))
    try:
        with pytest.raises(
            HeadraceError, match=r"the role lacks a right: .*owner of the source tables"
        ) as caught:
            migrate(as_role(app_database, migrating_role), settings)
    finally:
        run(app_database, f"DROP OWNED BY {migrating_role}")
    first, *statements = str(caught.value).splitlines()
    assert first.startswith("migrate: ")
    assert all(re.match("GRANT .* TO headrace_", statement) for statement in statements)
    assert not is_installed(app_database)


def test_an_owner_that_is_nobody_special_can_install_and_drain(
    migrating_role: str, new_database: Callable[[str | None], str], settings: Settings
) -> None:
    admin = new_database(None)
    (name,) = run(admin, "SELECT current_database()")[0]
    run(
        admin,
        f"GRANT CREATE ON DATABASE {name} TO {migrating_role}; GRANT CREATE ON SCHEMA public TO {migrating_role}",
    )
    url = as_role(admin, migrating_role)
    create_schema(url, "public")
    migrate(url, settings)
    assert diagnose(url, settings).errors == ()
    with psycopg.connect(url, autocommit=True) as connection:
        a_history(connection)
        asyncio.run(drain(url))
        assert_all_agree(connection)
    assert not migrate(url, settings).changed


def test_a_schema_headrace_of_somebody_else_is_not_touched(app_database: str, settings: Settings) -> None:
    run(app_database, "CREATE SCHEMA headrace; CREATE TABLE headrace.campaign (theirs text)")
    with pytest.raises(HeadraceError, match=r'^migrate: relation "campaign" already exists$'):
        migrate(app_database, settings)
    tables = run(
        app_database,
        "SELECT relname FROM pg_class WHERE relnamespace = 'headrace'::regnamespace AND relkind = 'r'",
    )
    assert tables == [("campaign",)]


# --- upgrades --------------------------------------------------------------------------------------------------


def make_older(url: str) -> None:
    """As an older version left it: a view with another column, a function with another result, and one that no longer exists."""
    run(url, "ALTER VIEW headrace.campaign_template_stats_live RENAME COLUMN failed_queue TO older")
    run(url, "DROP FUNCTION headrace.rebuilds_pending(boolean, bigint)")
    run(url, "CREATE FUNCTION headrace.rebuilds_pending() RETURNS integer LANGUAGE sql AS 'SELECT 0'")
    run(
        url,
        "CREATE FUNCTION headrace.no_more(integer) RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    )
    run(url, "CREATE VIEW headrace.view_no_more AS SELECT FROM headrace.no_more(1)")
    run(
        url,
        "CREATE FUNCTION headrace.stream_rebuild(p_stream text, p_more text DEFAULT '') RETURNS integer LANGUAGE sql AS 'SELECT 0'",
    )
    run(url, "UPDATE headrace.installation SET value = 'older' WHERE name = 'objects'")


def test_another_settle_window_is_named_as_such_and_not_taken_for_another_version(
    database: str, settings: Settings
) -> None:
    short = settings.model_copy(update={"settle_window": timedelta(seconds=20)})
    migrate(database, short)
    assert check_migration(database, short) == []
    assert check_migration(database, settings) == [
        "HEADRACE_SETTLE_WINDOW is 7 days, 0:00:00 here; 0:00:20 is in force since the last migrate, and would be replaced"
    ]
    make_older(database)
    assert "functions and views differ from this version's" in check_migration(database, settings)


def test_what_an_older_version_left_in_another_shape_is_replaced_and_what_is_no_more_goes(
    database: str, settings: Settings
) -> None:
    dumped = schema_dump(database)
    make_older(database)
    assert check_migration(database, settings) == ["functions and views differ from this version's"]
    assert migrate(database, settings).changed
    assert schema_dump(database) == dumped
    with psycopg.connect(database, autocommit=True) as connection:
        a_history(connection)
        asyncio.run(drain(database))
        assert_all_agree(connection)


@pytest.mark.parametrize(
    "left_over",
    [
        "CREATE FUNCTION headrace.no_more() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "CREATE FUNCTION headrace.rebuild_step(p_messages text) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW headrace.no_more AS SELECT FROM headrace.campaign",
    ],
)
def test_what_is_no_more_goes_where_all_else_keeps_its_shape(
    left_over: str, database: str, settings: Settings
) -> None:
    dumped = schema_dump(database)
    run(database, left_over)
    run(database, "UPDATE headrace.installation SET value = 'older' WHERE name = 'objects'")
    assert migrate(database, settings).changed
    assert schema_dump(database) == dumped


def test_views_of_others_upon_ours_live_on_where_the_shape_stays(database: str, settings: Settings) -> None:
    run(database, "CREATE VIEW theirs AS SELECT total FROM headrace.campaign_template_stats_live")
    run(database, "UPDATE headrace.installation SET value = 'older' WHERE name = 'objects'")
    assert migrate(database, settings).changed
    assert run(database, "SELECT * FROM theirs") == []


def test_a_view_of_others_in_the_way_is_named_and_the_version_that_was_there_stays(
    database: str, settings: Settings
) -> None:
    run(database, "CREATE VIEW theirs AS SELECT total FROM headrace.campaign_template_stats_live")
    make_older(database)
    dumped = schema_dump(database)
    with pytest.raises(
        HeadraceError, match=r"view public.theirs depends on view headrace\.campaign_template_stats_live"
    ) as caught:
        migrate(database, settings)
    assert "drop what others built upon Headrace's views" in str(caught.value)
    assert "CASCADE" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert schema_dump(database) == dumped


def test_check_says_what_is_to_be_done_and_locks_nothing(
    database: str, app_database: str, settings: Settings
) -> None:
    assert check_migration(app_database, settings) == ["schema headrace is not installed"]
    assert not is_installed(app_database)
    run(
        database,
        'DROP TRIGGER "!headrace_delete" ON messages; ALTER TABLE send_queue DISABLE TRIGGER "!headrace_update"',
    )
    newest = run(database, "SELECT version_num FROM headrace.schema_version")[0][0]
    run(database, "UPDATE headrace.schema_version SET version_num = '0001'")
    day = run(database, "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 days', 'YYYYMMDD')")[0][0]
    run(database, f"DROP TABLE headrace.change_log_{day}")
    with open_transaction(database, "LOCK TABLE messages, send_queue IN EXCLUSIVE MODE"):
        assert check_migration(database, settings) == [
            f"tables are at version 0001, {newest} is the newest",
            "the change log lacks partitions for 1 days",
            "capture trigger for delete is missing on table messages: such changes are not seen",
            "capture trigger for update is disabled on table send_queue: such changes are not seen",
        ]


def test_tables_of_a_version_that_is_not_known_here_are_left_alone(database: str, settings: Settings) -> None:
    run(database, "INSERT INTO headrace.schema_version VALUES ('9999')")
    with pytest.raises(
        HeadraceError, match=r"^migrate: Can't locate revision identified by '9999'; nothing was"
    ):
        migrate(database, settings)


# From a version that had one fingerprint for the definitions of all domains.
BEFORE_0012 = """
    ALTER TABLE headrace.stream DROP domain, DROP rebuild_new, DROP on_setting, DROP unit;
    ALTER TABLE headrace.source DROP specs;
    DELETE FROM headrace.installation WHERE name LIKE 'definition %' OR name = 'reply_window_seconds';
    UPDATE headrace.installation SET value = repeat('0', 64) WHERE name = 'objects';
    INSERT INTO headrace.installation VALUES ('definition', repeat('0', 64));
    UPDATE headrace.schema_version SET version_num = '0011'
"""
OTHER_STATUSES = """
    CREATE OR REPLACE FUNCTION headrace.status_bits(p_status text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 0'
"""


def test_an_upgrade_from_a_single_fingerprint_counts_nothing_anew_and_leaves_frozen_versions(
    database: str, settings: Settings
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        first, _ = a_history(connection)
        connection.execute(
            "UPDATE campaigns SET status = 'completed', completed_at = '2026-03-20' WHERE id = %s", [first]
        )
    asyncio.run(drain(database))
    documents = """
        SELECT d.xmin, d.*, c.xmin FROM headrace.campaign_computed_stats d JOIN headrace.campaign c USING (campaign_id)
        ORDER BY campaign_id
    """
    counted, made = run(database, documents), state(database)[2]
    run(database, BEFORE_0012)
    assert migrate(database, settings) == Migrated(("campaign_stats",), rebuilds=0, changed=True)
    assert run(database, documents) == counted
    assert state(database)[2] == made
    assert run(database, "SELECT count(*) FROM headrace.installation WHERE name = 'definition'") == [(0,)]
    assert not migrate(database, settings).changed


def test_what_an_older_version_defined_otherwise_is_counted_anew(database: str, settings: Settings) -> None:
    with psycopg.connect(database) as connection:
        campaigns = a_history(connection)
    asyncio.run(drain(database))
    run(database, BEFORE_0012)
    run(database, OTHER_STATUSES)
    assert migrate(database, settings).rebuilds == len(campaigns)
    assert migrate(database, settings).rebuilds == 0


def test_a_definition_that_is_new_counts_nothing_anew_and_one_that_is_another_everything(
    database: str, settings: Settings
) -> None:
    with psycopg.connect(database) as connection:
        campaigns = a_history(connection)
    asyncio.run(drain(database))
    note = "UPDATE headrace.installation SET value = ({})::text WHERE name = 'definition campaign_stats'"
    run(database, note.format("value::jsonb - 'status_bits'"))
    assert migrate(database, settings).rebuilds == 0
    run(database, note.format("""value::jsonb || '{"status_bits": "another"}'"""))
    assert migrate(database, settings).rebuilds == len(campaigns)


def test_comments_and_layout_of_a_definition_are_no_other_definition() -> None:
    def of(sql: str) -> dict[str, str]:
        return of_definitions([SqlObject("bits", "domain", "definitions", sql)], "domain")

    plain = of("-- purpose: bits\nSELECT 1,\n    2")
    assert of("SELECT 1, 2") == plain
    assert of("SELECT 1, 3") != plain
    assert of_definitions([SqlObject("f", "domain", "functions", "SELECT 1")], "domain") == {}


# --- capture and rebuilds --------------------------------------------------------------------------------------


def test_campaigns_from_before_the_installation_are_served_live_and_rebuilt(
    app_database: str, settings: Settings
) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        campaigns = a_history(connection)
        assert migrate(app_database, settings).rebuilds == len(campaigns)
        assert stored(connection) == {}
        served = connection.execute("SELECT headrace.campaign_stats(%s)", [campaigns[0]]).fetchall()[0][0]
        assert (served["source"], served["totals"]["total"]) == ("live", 20)
        assert asyncio.run(drain(app_database)).rebuilt == len(campaigns)
        counted = assert_all_agree(connection)
        totals = [sum(counter) for counter in zip(*counted.values(), strict=True)]
        assert all(total > 0 for total in totals), "the history is to say something about every counter"


@pytest.mark.parametrize(
    "harm",
    [
        'DROP TRIGGER "!headrace_insert" ON message_status_logs',
        "ALTER TABLE message_status_logs DISABLE TRIGGER ALL",
        'ALTER TABLE message_status_logs ENABLE TRIGGER "!headrace_insert"',
        'ALTER TRIGGER "!headrace_insert" ON message_status_logs RENAME TO mine',
        'COMMENT ON TRIGGER "!headrace_insert" ON message_status_logs IS $$as an older version made it$$',
    ],
)
def test_a_trigger_that_was_gone_is_made_again_and_every_campaign_is_rebuilt(
    harm: str, database: str, settings: Settings
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        campaigns = a_history(connection)
        asyncio.run(drain(database))
        connection.execute(harm.encode())
        connection.execute("SET session_replication_role = replica")
        insert(connection, "message_status_logs", whatsapp_message_id="wamid.0.2", status="read")
        connection.execute("RESET session_replication_role")
        done = migrate(database, settings)
        assert done.changed
        assert done.rebuilds == len(campaigns)
        asyncio.run(drain(database))
        assert_all_agree(connection)
        insert(connection, "message_status_logs", whatsapp_message_id="wamid.1.2", status="read")
        asyncio.run(drain(database))
        assert_all_agree(connection)
    assert not migrate(database, settings).changed


def test_another_reply_window_counts_all_campaigns_anew(database: str, settings: Settings) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        campaigns = a_history(connection)
        asyncio.run(drain(database))
        before = assert_all_agree(connection)
        longer = settings.model_copy(update={"reply_window": timedelta(days=8, seconds=0.5)})
        assert migrate(database, longer).rebuilds == len(campaigns)
        asyncio.run(drain(database))
        assert before != stored(connection) == live(connection) == recompute(connection, longer.reply_window)
    assert migrate(database, longer).rebuilds == 0


@pytest.mark.parametrize("published", ["ALL TABLES", "TABLES IN SCHEMA headrace"])
def test_a_publication_that_covers_our_tables_stops_nothing(
    published: str, app_database: str, settings: Settings
) -> None:
    """Such a publication refuses to update or delete rows in tables without a key or a replica identity."""
    run(app_database, "CREATE SCHEMA headrace")
    run(app_database, f"CREATE PUBLICATION theirs FOR {published}")
    with psycopg.connect(app_database, autocommit=True) as connection:
        migrate(app_database, settings)
        a_history(connection)
        asyncio.run(drain(app_database))
        connection.execute("UPDATE send_queue SET status = 'sent'")
        asyncio.run(drain(app_database))
        assert_all_agree(connection)
        connection.execute(
            "INSERT INTO headrace.change_log (source, op, changed_at) VALUES ('no one', 'I', now() - interval '9 days')"
        )
        asyncio.run(drain(app_database))
        expiring = "SELECT deleted FROM headrace.expire_default_changes('7 days', '14 days')"
        assert connection.execute(expiring).fetchone() == (1,)
        connection.execute("SELECT headrace.rebase_stream('campaign_stats')")
        connection.execute("DELETE FROM campaigns")
        asyncio.run(drain(app_database))
        assert stored(connection) == {}


# --- where the application's tables are, and what they look like -------------------------------------------------


def test_a_source_schema_with_an_odd_name_works_from_end_to_end(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url, schema = new_database(None), """My App's "best" {x}"""
    create_schema(url, schema)
    (name,) = run(url, "SELECT current_database()")[0]
    run(url, f"ALTER DATABASE {name} SET search_path = ''")
    odd = settings.model_copy(update={"source_schema": schema})
    with psycopg.connect(url, autocommit=True) as connection:
        a_history(connection, schema)
        migrate(url, odd)
        a_history(connection, schema)
        asyncio.run(drain(url))
        assert len(stored(connection)) == 8
        assert stored(connection) == live(connection)
    assert diagnose(url, odd).errors == ()
    assert not migrate(url, odd).changed
    assert check_migration(url, odd) == []


def test_without_source_tables_only_the_engine_is_installed_and_the_domain_comes_later(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url = new_database(None)
    assert migrate(url, settings).domains == ()
    assert run(
        url,
        "SELECT to_regclass('headrace.change_log') IS NULL, to_regclass('headrace.stg_campaigns') IS NULL",
    ) == [(False, True)]
    assert not migrate(url, settings).changed
    create_schema(url, "public")
    assert check_migration(url, settings) == ["active domains are none, would be campaign_stats"]
    with psycopg.connect(url, autocommit=True) as connection:
        campaigns = a_history(connection)
        assert migrate(url, settings) == Migrated(("campaign_stats",), rebuilds=len(campaigns), changed=True)
        asyncio.run(drain(url))
        assert_all_agree(connection)


def test_domains_asked_for_are_demanded_and_others_left_out(
    new_database: Callable[[str | None], str], app_database: str, settings: Settings
) -> None:
    asked = settings.model_copy(update={"domains": ("campaign_stats",)})
    empty = new_database(None)
    with pytest.raises(HeadraceError, match="table campaigns is missing from schema public"):
        migrate(empty, asked)
    assert not is_installed(empty)
    with pytest.raises(HeadraceError, match="HEADRACE_DOMAINS names stats; there are: campaign_stats"):
        migrate(app_database, settings.model_copy(update={"domains": ("stats",)}))
    none = settings.model_copy(update={"domains": ()})
    assert migrate(app_database, none).domains == ()
    assert migrate(app_database, settings).domains == ("campaign_stats",)
    assert migrate(app_database, none).domains == ()
    assert diagnose(app_database, none).errors == ()
    with psycopg.connect(app_database, autocommit=True) as connection:
        a_history(connection)  # deactivated, it captures nothing and is in nobody's way
        assert connection.execute("SELECT count(*) FROM headrace.change_log").fetchone() == (0,)
        asyncio.run(drain(app_database))
        assert migrate(app_database, settings).rebuilds == 2  # active again, it has missed them
        asyncio.run(drain(app_database))
        assert_all_agree(connection)


def test_varchar_columns_and_numbers_for_ids_count_the_same(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url = new_database(None)
    run(url, VARCHAR_AND_BIGINT)
    with psycopg.connect(url, autocommit=True) as connection:
        a_history(connection)
        migrate(url, settings)
        asyncio.run(drain(url))
        before = stored(connection)
        assert before == live(connection)
        a_history(connection)
        asyncio.run(drain(url))
        assert len(stored(connection)) == 2 * len(before)
        assert stored(connection) == live(connection)
        connection.execute(
            "UPDATE send_queue SET id = id + 1000, template_name = 'other' WHERE user_phone = 'phone 3'"
        )
        connection.execute("DELETE FROM message_status_logs WHERE id % 7 = 0")
        connection.execute("UPDATE messages SET user_phone = 'phone 4' WHERE user_phone = 'phone 5'")
        asyncio.run(drain(url))
        assert stored(connection) == live(connection)
        assert connection.execute("SELECT count(*) FROM headrace.dead_letter").fetchone() == (0,)
    assert diagnose(url, settings).errors == ()


def test_an_optional_column_that_comes_later_is_taken_in(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url = new_database(None)
    run(url, VARCHAR_AND_BIGINT)
    with psycopg.connect(url, autocommit=True) as connection:
        campaigns = a_history(connection)
        migrate(url, settings)
        asyncio.run(drain(url))
        connection.execute("ALTER TABLE messages ADD context_message_id varchar(100)")
        with pytest.raises(HeadraceError, match=r"lacks an index on \(context_message_id\)"):
            migrate(url, settings)
        connection.execute("CREATE INDEX ON messages (context_message_id)")
        connection.execute(
            "UPDATE messages SET context_message_id = 'wamid.0.2' WHERE direction = 'incoming'"
        )
        assert migrate(url, settings).rebuilds == len(campaigns)
        asyncio.run(drain(url))
        row = connection.execute("SELECT sum(replied) FROM headrace.campaign_template_stats").fetchone()
        assert row == (1,)
        assert stored(connection) == live(connection)


def test_a_partitioned_queue_is_captured_through_parent_and_partitions(
    app_database: str, settings: Settings
) -> None:
    run(app_database, PARTITIONED_QUEUE)
    with psycopg.connect(app_database, autocommit=True) as connection:
        campaigns = a_history(connection)
        migrate(app_database, settings)
        assert not migrate(app_database, settings).changed

        def drained() -> None:
            asyncio.run(drain(app_database))
            assert_all_agree(connection)

        drained()
        march, later = "2026-03-05 12:00+00", "2027-01-01 12:00+00"
        insert(connection, "send_queue", campaign_id=campaigns[0], template_name="parent", created_at=march)
        insert(
            connection, "send_queue_rest", campaign_id=campaigns[0], template_name="leaf", created_at=later
        )
        insert(
            connection, "send_queue_2026_03", campaign_id=campaigns[0], template_name="leaf", created_at=march
        )
        drained()
        connection.execute("UPDATE send_queue SET created_at = %s WHERE template_name = 'parent'", [later])
        connection.execute("UPDATE send_queue_2026_03 SET status = 'sent' WHERE status = 'queued'")
        drained()
        connection.execute("DELETE FROM send_queue_2026_03 WHERE user_phone = 'phone 2'")
        drained()
        connection.execute(
            "CREATE TABLE send_queue_2028 PARTITION OF send_queue FOR VALUES FROM ('2028-01-01 00:00+00') TO ('2029-01-01 00:00+00')"
        )
        insert(
            connection,
            "send_queue",
            campaign_id=campaigns[1],
            template_name="new leaf",
            created_at="2028-05-05",
        )
        insert(
            connection,
            "send_queue_2028",
            campaign_id=campaigns[1],
            template_name="new leaf",
            created_at="2028-05-06",
        )
        drained()
        (missing,) = diagnose(app_database, settings).errors
        assert (
            missing.what
            == "capture trigger for truncate is missing on table send_queue_2028 (a partition of send_queue): such changes are not seen"
        )
        assert missing.remedy == "headrace migrate"
        assert migrate(app_database, settings).changed
        assert diagnose(app_database, settings).errors == ()
        asyncio.run(drain(app_database))
        connection.execute("TRUNCATE send_queue_2028")
        drained()
        connection.execute("TRUNCATE send_queue")
        drained()
        assert stored(connection) == {}
