"""Removing Headrace: as if it had never been there, whole or not at all, beside a working application."""

from __future__ import annotations

import asyncio
import itertools
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from orchestration.cli import main
from orchestration.demo.campaign_stats.load import create_schema
from orchestration.engine.stream import drain, is_passing
from orchestration.errors import HeadraceError
from orchestration.install import uninstall as removing
from orchestration.install.doctor import diagnose
from orchestration.install.migrate import migrate
from orchestration.install.uninstall import installation, uninstall
from orchestration.settings import Settings, with_driver
from tests.campaign_stats.oracle import assert_all_agree, stored
from tests.concurrency.items import captured
from tests.rows import a_history, insert
from tests.schema_dump import schema_dump, whole_dump
from tests.sessions import InThread, as_role, open_transaction, wait_until
from tests.source_shapes import PARTITIONED_QUEUE, VARCHAR_AND_BIGINT
from tests.traffic import traffic

SOURCES = ("campaigns", "send_queue", "message_status_logs", "messages", "campaign_contacts")

# What an application may have around its tables: none of it is ours, and some of it sees what we do.
MUCH_OF_ITS_OWN = """
CREATE SCHEMA app_private;
CREATE TABLE app_private.ddl (command text);
CREATE FUNCTION app_private.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION app_private.note_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN INSERT INTO app_private.ddl VALUES (tg_tag); END';
CREATE EVENT TRIGGER note_ddl ON ddl_command_end EXECUTE FUNCTION app_private.note_ddl();
CREATE EVENT TRIGGER note_drops ON sql_drop EXECUTE FUNCTION app_private.note_ddl();
CREATE TRIGGER "!first" BEFORE UPDATE ON send_queue FOR EACH ROW EXECUTE FUNCTION app_private.note();
CREATE TRIGGER zlast AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION app_private.note();
ALTER TABLE messages DISABLE TRIGGER zlast;
COMMENT ON TRIGGER zlast ON messages IS 'theirs';
COMMENT ON TABLE campaigns IS 'theirs';
ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON campaigns USING (true);
ALTER TABLE messages REPLICA IDENTITY FULL;
ALTER TABLE send_queue SET (fillfactor = 80);
CREATE VIEW totals AS SELECT campaign_id, count(*) FROM send_queue GROUP BY 1;
CREATE RULE nothing AS ON UPDATE TO totals DO INSTEAD NOTHING;
CREATE STATISTICS both_ids (dependencies) ON campaign_id, template_name FROM send_queue;
GRANT SELECT ON send_queue TO PUBLIC;
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE PUBLICATION theirs FOR TABLES IN SCHEMA public;
CREATE PUBLICATION chats FOR TABLE messages, send_queue
"""
NEW_PARTITIONS = """
CREATE TABLE send_queue_2028 PARTITION OF send_queue FOR VALUES FROM ('2028-01-01 00:00+00') TO ('2029-01-01 00:00+00');
CREATE TABLE send_queue_2029 (LIKE send_queue INCLUDING ALL);
ALTER TABLE send_queue ATTACH PARTITION send_queue_2029 FOR VALUES FROM ('2029-01-01 00:00+00') TO ('2030-01-01 00:00+00')
"""


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def command(url: str, *arguments: str) -> Result:
    others = {name: None for name in os.environ if name.startswith(("HEADRACE_", "DAGSTER_"))}
    return CliRunner(env={**others, "HEADRACE_DATABASE_URL": url}).invoke(main, list(arguments))


def is_installed(url: str) -> bool:
    return run(url, "SELECT to_regnamespace('headrace') IS NOT NULL") == [(True,)]


def row_versions(url: str, schema: str = "public") -> list[list[tuple[Any, ...]]]:
    """Every row of the source tables with its location and its writer: a row must be untouched, not merely equal."""
    quoted = '"' + schema.replace('"', '""') + '"'
    return [run(url, f"SELECT xmin, ctid, * FROM {quoted}.{table} ORDER BY 2") for table in SOURCES]


# --- what is left ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "later"),
    [
        ("", ""),
        (
            "DROP TABLE campaigns, send_queue, messages, message_status_logs, campaign_contacts;"
            + VARCHAR_AND_BIGINT,
            "",
        ),
        (PARTITIONED_QUEUE, NEW_PARTITIONS),
        (MUCH_OF_ITS_OWN, "ALTER TABLE send_queue ADD note text; ALTER TABLE campaigns RENAME TO older"),
    ],
    ids=["the example", "varchar and bigint", "partitions", "much of its own"],
)
def test_the_source_is_what_it_would_be_without_headrace(
    made: str, later: str, new_database: Callable[[str | None], str], settings: Settings
) -> None:
    without, url = new_database("app"), new_database("app")
    for database in (without, url):
        run(database, f"SELECT 1; {made}")
    with psycopg.connect(url, autocommit=True) as connection:
        a_history(connection)
    rows = row_versions(url)
    migrate(url, settings)
    asyncio.run(drain(url))
    assert row_versions(url) == rows
    for database in (without, url):
        run(database, f"SELECT 1; {later}")
    assert uninstall(url, settings) is not None
    assert whole_dump(url) == whole_dump(without)
    run(
        url,
        "ALTER TABLE IF EXISTS older RENAME TO campaigns; ALTER TABLE send_queue DROP COLUMN IF EXISTS note",
    )
    assert row_versions(url) == rows
    rights_left = (
        "SELECT FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid WHERE r.rolname LIKE 'headrace_%'"
    )
    assert (
        run(
            url,
            f"{rights_left} AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        == []
    )


def test_a_schema_with_an_odd_name_is_left_as_it_was_whatever_the_settings_say_now(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url, schema = new_database(None), """My App's "best" {x}"""
    create_schema(url, schema)
    with psycopg.connect(url, autocommit=True) as connection:
        a_history(connection, schema)
    before, rows = whole_dump(url), row_versions(url, schema)
    migrate(url, settings.model_copy(update={"source_schema": schema}))
    (name,) = run(url, "SELECT current_database()")[0]
    run(url, f"ALTER DATABASE {name} SET search_path = ''")
    assert uninstall(url, settings) is not None
    assert whole_dump(url) == before
    assert row_versions(url, schema) == rows


def test_triggers_are_known_by_what_they_call_not_by_their_name(database: str, settings: Settings) -> None:
    run(
        database,
        'ALTER TRIGGER "!headrace_insert" ON messages RENAME TO mine; ALTER TABLE campaigns DISABLE TRIGGER ALL',
    )
    run(
        database,
        "CREATE TABLE orders (id int); " + captured("orders", "orders", "'id', NULL, '{}', '{id}'"),
    )
    removed = uninstall(database, settings)
    assert removed is not None
    assert len(removed.triggers) == 20
    assert set(removed.tables) == {
        f"public.{table}" for table in {*SOURCES, "orders"} - {"campaign_contacts"}
    }
    assert run(database, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []
    assert run(database, "INSERT INTO messages (direction) VALUES ('incoming') RETURNING direction") == [
        ("incoming",)
    ]


def test_dagsters_storage_in_the_same_database_is_not_touched(
    database: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        f'storage: {{postgres: {{postgres_url: "{with_driver(database, "psycopg2")}"}}}}\n'
    )
    key = dg.AssetKey("campaign_template_stats")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(key))
        dumped = whole_dump(database)
        assert "event_logs" in dumped
        headrace = schema_dump(database)
        assert uninstall(database, settings) is not None
        left = whole_dump(database)
        assert "headrace" not in left
        assert left.count("CREATE TABLE public.") == dumped.count("CREATE TABLE public.")
        assert instance.get_latest_materialization_event(key) is not None
    migrate(database, settings)
    assert schema_dump(database) == headrace


def test_where_nothing_is_installed_it_says_so_and_exits_0(app_database: str, settings: Settings) -> None:
    dumped = whole_dump(app_database)
    assert installation(app_database) is None
    assert uninstall(app_database, settings) is None
    said = command(app_database, "uninstall")
    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout == "Headrace is not installed in this database: there is nothing to remove\n"
    run(app_database, "CREATE SCHEMA headrace; CREATE TABLE headrace.campaign (theirs text)")
    assert command(app_database, "uninstall", "--yes").stdout == said.stdout
    run(app_database, "DROP TABLE headrace.campaign; DROP SCHEMA headrace")
    assert whole_dump(app_database) == dumped


# --- starting anew ---------------------------------------------------------------------------------------------


def test_migrate_afterwards_starts_anew_and_counts_what_came_in_between(
    database: str, settings: Settings
) -> None:
    fresh = schema_dump(database)
    with psycopg.connect(database, autocommit=True) as connection:
        campaigns = a_history(connection)
        asyncio.run(drain(database))
        before = assert_all_agree(connection)
        connection.execute("INSERT INTO messages (direction, created_at) VALUES ('incoming', now())")
        assert uninstall(database, settings) is not None
        campaigns += a_history(connection)
        connection.execute("DELETE FROM message_status_logs WHERE id % 3 = 0")
        connection.execute("UPDATE send_queue SET template_name = 'other' WHERE user_phone = 'phone 3'")
        assert diagnose(database, settings).errors[0].what == "schema headrace is not installed"
        done = migrate(database, settings)
        assert (done.rebuilds, done.changed) == (len(campaigns), True)
        assert schema_dump(database) == fresh
        assert stored(connection) == {}
        asyncio.run(drain(database))
        assert assert_all_agree(connection) != before
        a_history(connection)
        asyncio.run(drain(database))
        assert_all_agree(connection)


def test_a_running_worker_says_what_is_missing_and_goes_on_after_the_next_migrate(
    database: str, settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with psycopg.connect(database, autocommit=True) as connection, log.open("w") as stderr:
        a_history(connection)
        worker = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "worker", "--concurrency", "2"],
            env={**os.environ, "HEADRACE_DATABASE_URL": database},
            cwd=Path(__file__).parents[2],
            stderr=stderr,
        )
        try:
            wait_until(lambda: run(database, "SELECT state FROM headrace.worker") == [("running",)])
            wait_until(lambda: len(stored(connection)) > 0)
            removed = uninstall(database, settings)
            assert removed is not None
            assert removed.workers == 1
            insert(connection, "campaigns", name="meanwhile")
            wait_until(lambda: "schema headrace is not installed" in log.read_text())
            migrate(database, settings)
            idle = "SELECT NOT EXISTS (SELECT FROM headrace.stream_poll()) AND EXISTS (SELECT FROM headrace.worker)"
            wait_until(lambda: run(database, idle) == [(True,)], seconds=30)
            assert_all_agree(connection)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=20)
    assert worker.returncode == 0
    assert "run: headrace migrate" in log.read_text()
    assert "Traceback" not in log.read_text()


# --- beside a living application --------------------------------------------------------------------------------


def test_under_traffic_no_transaction_fails_or_waits_for_a_second_and_the_next_migrate_gets_the_numbers_right(
    database: str, settings: Settings
) -> None:
    over = threading.Event()

    def worker() -> set[str]:
        told = set()
        while not over.is_set():
            try:
                asyncio.run(drain(database))
            except HeadraceError as error:
                told.add(str(error).split(",")[0])
        return told

    with psycopg.connect(database, autocommit=True) as connection:
        campaigns = a_history(connection)
        folding = InThread(worker)
        try:
            with traffic(database, campaigns) as transactions:
                for _ in range(2):
                    before = len(transactions)
                    wait_until(lambda before=before: len(transactions) > before + 20)  # type: ignore[misc]
                    assert uninstall(database, settings) is not None
                    before = len(transactions)
                    wait_until(lambda before=before: len(transactions) > before + 20)  # type: ignore[misc]
                    migrate(database, settings)
        finally:
            over.set()
        assert max(transactions) < 1.5
        assert folding.outcome() == {"schema headrace is not installed"}
        asyncio.run(drain(database))
        assert_all_agree(connection)


@pytest.mark.parametrize(
    ("statement", "passing"),
    [
        ("SELECT nextval(999999::regclass)", True),  # could not open relation with OID
        ("SELECT array_in('{1}', 999999, -1)", True),  # cache lookup failed for type
        ("SELECT nextval('headrace.gone')", False),  # names what is missing
        (
            "DO $$ BEGIN RAISE 'out of luck' USING ERRCODE = 'XX000'; END $$",
            False,
        ),  # any other internal error
    ],
)
def test_a_worker_tries_again_what_met_a_table_or_function_that_went_meanwhile(
    statement: str, passing: bool, database: str
) -> None:
    with (
        psycopg.connect(database, autocommit=True) as connection,
        pytest.raises(psycopg.Error) as caught,
    ):
        connection.execute(statement.encode())
    assert is_passing(caught.value) is passing


def test_an_open_writer_is_waited_for_and_named_when_it_does_not_end(
    database: str, settings: Settings
) -> None:
    dumped = whole_dump(database)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += 25

    statements = (
        "INSERT INTO campaigns (name) VALUES ('open'); INSERT INTO messages (direction) VALUES ('incoming')"
    )
    with open_transaction(database, statements) as writer:
        with pytest.raises(HeadraceError, match="a table it needs was locked for 60 s") as caught:
            uninstall(database, settings, sleep=sleep, clock=lambda: now[0])
        pid = writer.info.backend_pid
        assert re.search(
            rf"held now: .* by pid {pid} \(.*\); wait for that to end, or end it", str(caught.value)
        )
        assert whole_dump(database) == dumped
        slept: list[float] = []

        def nap(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 2:
                writer.commit()

        assert uninstall(database, settings, sleep=nap) is not None
    assert len(slept) >= 2
    assert not is_installed(database)


def test_locks_that_are_to_be_had_one_by_one_are_given_up_before_a_second_is_over(
    database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wait may be short, and all of them together too long for those who wait for the first table."""
    asked: list[int] = []
    real = removing.execute

    def watched(connection: sa.Connection, script: str) -> list[tuple[Any, ...]]:
        asked.append(
            real(connection, "SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout'")[0][0]
        )
        return real(connection, script)

    monkeypatch.setattr(removing, "execute", watched)
    clock = itertools.count(step=0.02)
    assert uninstall(database, settings, clock=lambda: next(clock)) is not None
    assert asked[:15] == [200] * 15
    assert asked == sorted(asked, reverse=True)
    assert asked[30:] == [1] * len(asked[30:])


def test_beside_migrations_each_finds_the_database_whole(database: str, settings: Settings) -> None:
    def both() -> None:
        uninstall(database, settings)
        migrate(database, settings)

    threads = [InThread(both) for _ in range(3)]
    for thread in threads:
        thread.outcome()
    assert diagnose(database, settings).errors == ()


# --- what it refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        (
            "CREATE VIEW report AS SELECT total FROM headrace.campaign_template_stats_live",
            "view public.report depends on view headrace.campaign_template_stats_live",
        ),
        (
            "CREATE MATERIALIZED VIEW report AS SELECT * FROM headrace.campaign_template_stats",
            "materialized view public.report depends on table headrace.campaign_template_stats",
        ),
        (
            "CREATE TABLE bill (campaign_id uuid REFERENCES headrace.campaign_computed_stats)",
            "constraint bill_campaign_id_fkey on table public.bill depends on table headrace.campaign_computed_stats",
        ),
        (
            "CREATE FUNCTION report(uuid) RETURNS jsonb BEGIN ATOMIC SELECT headrace.campaign_stats($1); END",
            "function public.report(uuid) depends on function headrace.campaign_stats(uuid)",
        ),
        ("CREATE TABLE headrace.bill (total int)", "table headrace.bill depends on schema headrace"),
        ("CREATE VIEW headrace.report AS SELECT 1", "view headrace.report depends on schema headrace"),
        (
            "CREATE PUBLICATION numbers FOR TABLE headrace.campaign_template_stats",
            "publication numbers (headrace.",
        ),
        (
            "CREATE PUBLICATION numbers FOR TABLES IN SCHEMA headrace",
            "publication numbers (tables in schema headrace)",
        ),
        (
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            " CREATE TRIGGER tell AFTER UPDATE ON headrace.campaign_computed_stats EXECUTE FUNCTION tell()",
            "trigger tell (headrace.campaign_computed_stats)",
        ),
    ],
    ids=lambda value: value.split(" AS ")[0][:50] if value.startswith("CREATE") else "",
)
def test_what_others_built_upon_it_is_refused_by_name_with_nothing_changed(
    theirs: str, named: str, database: str, settings: Settings
) -> None:
    run(database, theirs)
    dumped = whole_dump(database)
    with pytest.raises(HeadraceError, match=re.escape(named)) as caught:
        uninstall(database, settings)
    assert "nothing was changed" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "CASCADE" not in str(caught.value)
    assert whole_dump(database) == dumped


def test_only_the_owner_may(
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
    before = whole_dump(admin)
    migrate(url, settings)
    with pytest.raises(HeadraceError, match="the role lacks a right: run it as the owner of schema headrace"):
        uninstall(as_role(admin, "headrace_worker"), settings)
    assert is_installed(admin)
    assert uninstall(url, settings) is not None
    assert whole_dump(admin) == before


# --- the command -----------------------------------------------------------------------------------------------


def test_where_nobody_can_be_asked_it_wants_yes(database: str) -> None:
    refused = command(database, "uninstall")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(
        "headrace: uninstall removes schema headrace with all statistics, and 16 triggers on "
    )
    assert refused.stderr.endswith("say --yes where nobody can be asked\n")
    assert is_installed(database)
    done = command(database, "uninstall", "--yes")
    assert (done.exit_code, done.stderr) == (0, "")
    assert re.match(
        r"removed from database test_\w+: schema headrace, and 16 triggers on public\.campaigns, ",
        done.stdout,
    )
    assert (
        "DROP ROLE headrace_app, headrace_capture, headrace_ingest, headrace_monitor, headrace_owner, "
        "headrace_reader, headrace_worker;" in done.stdout
    )
    assert not is_installed(database)


@pytest.mark.parametrize(("answer", "gone"), [("n", False), ("", False), ("y", True)])
def test_in_a_terminal_it_asks_first(answer: str, gone: bool, database: str) -> None:
    ours, theirs = pty.openpty()
    try:
        asked = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "uninstall"],
            env={**os.environ, "HEADRACE_DATABASE_URL": database},
            cwd=Path(__file__).parents[2],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        os.write(ours, f"{answer}\n".encode())
        said, _ = asked.communicate(timeout=30)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Remove schema headrace with all statistics, and 16 triggers on " in said
    assert asked.returncode == (0 if gone else 1)
    assert is_installed(database) is not gone
