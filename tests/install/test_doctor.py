"""Every finding of doctor, provoked and read; its advice is followed where it is one of our commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from orchestration.cli import main
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError, Problem
from orchestration.install import doctor, pooler
from orchestration.install.doctor import Diagnosis, diagnose, grouped
from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.commands import run
from tests.concurrency.items import make_items
from tests.rows import a_history, insert
from tests.sessions import as_role, open_transaction

NO_WORKER = Problem("no worker is running; Dagster's sensor catches up in tens of seconds", "headrace worker")


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def examine(database: str, settings: Settings) -> Callable[[], Diagnosis]:
    return lambda: diagnose(database, settings)


def the_error(found: Diagnosis) -> Problem:
    (problem,) = found.errors
    return problem


def test_a_healthy_database_has_no_errors_and_the_note_that_no_worker_runs(
    examine: Callable[[], Diagnosis],
) -> None:
    found = examine()
    assert (found.domains, found.errors, found.notes) == (("campaign_stats",), (), (NO_WORKER,))
    assert int(found.server.split(".")[0]) >= 15


def test_a_running_worker_is_seen_and_a_silent_or_stopped_one_is_not(
    examine: Callable[[], Diagnosis], admin: psycopg.Connection[Any]
) -> None:
    admin.execute("SELECT headrace.worker_heartbeat('w', 'host', 1, 'running', '{*}', 0, NULL)")
    assert examine().notes == ()
    admin.execute("UPDATE headrace.worker SET seen_at = now() - interval '31 seconds'")
    assert examine().notes == (NO_WORKER,)
    admin.execute("SELECT headrace.worker_heartbeat('w', 'host', 1, 'stopped', '{*}', 0, NULL)")
    assert examine().notes == (NO_WORKER,)


def test_an_index_that_only_makes_lists_quick_is_noted_with_the_statement_that_makes_it(
    examine: Callable[[], Diagnosis], admin: psycopg.Connection[Any]
) -> None:
    admin.execute("DROP INDEX campaigns_newest, campaigns_of_user")
    found = examine()
    assert found.errors == ()
    advised = [problem for problem in found.notes if problem != NO_WORKER]
    assert [problem.what for problem in advised] == [
        f"lists and ranges of campaigns read the whole table without an index on ({keys}); see dbt_like_sql/sources.yml"
        for keys in ("created_at, id", "user_id, created_at, id")
    ]
    for problem in advised:
        admin.execute(problem.remedy.encode())
    assert examine().notes == (NO_WORKER,)


def test_a_database_without_headrace_is_told_to_migrate(app_database: str, settings: Settings) -> None:
    assert the_error(diagnose(app_database, settings)) == Problem(
        "schema headrace is not installed", "headrace migrate"
    )


def test_an_empty_database_is_told_what_is_missing_to_be_active(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    found = diagnose(new_database(None), settings)
    assert found.domains == ()
    assert found.notes[0].what == "no domain is active: schema public has none of its tables"


@pytest.mark.parametrize(
    ("harm", "what", "remedy"),
    [
        (
            "DROP INDEX send_queue_message",
            "table send_queue lacks an index on (whatsapp_message_id); see dbt_like_sql/sources.yml",
            'CREATE INDEX CONCURRENTLY ON "public"."send_queue" (whatsapp_message_id);',
        ),
        (
            "DROP TABLE campaign_contacts CASCADE",
            "table campaign_contacts is missing from schema public; see dbt_like_sql/sources.yml",
            'CREATE TABLE "public"."campaign_contacts" ("campaign_id" uuid, "template_name" text);',
        ),
        (
            'ALTER TABLE campaigns DISABLE TRIGGER "!headrace_update"',
            "capture trigger for update is disabled on table campaigns: such changes are not seen",
            "headrace migrate",
        ),
        (
            'DROP TRIGGER "!headrace_truncate" ON messages',
            "capture trigger for truncate is missing on table messages: such changes are not seen",
            "headrace migrate",
        ),
        (
            "DROP FUNCTION headrace.get_campaign_template_stats(uuid)",
            "functions and views differ from this version's",
            "headrace migrate",
        ),
        (
            "DROP VIEW headrace.campaign_template_stats_live CASCADE",
            "functions and views differ from this version's",
            "headrace migrate",
        ),
        (
            f"DROP TABLE headrace.change_log_{datetime.now(UTC):%Y%m%d}",
            "the change log lacks partitions for 1 days",
            "headrace migrate",
        ),
    ],
)
def test_what_is_missing_is_named_with_what_mends_it(
    harm: str,
    what: str,
    remedy: str,
    examine: Callable[[], Diagnosis],
    admin: psycopg.Connection[Any],
    database: str,
) -> None:
    admin.execute(harm.encode())
    assert the_error(examine()) == Problem(what, remedy)
    if remedy == "headrace migrate":
        assert CliRunner(env={"HEADRACE_DATABASE_URL": database}).invoke(main, ["migrate"]).exit_code == 0
    else:
        admin.execute(remedy.encode())
    assert [problem for problem in examine().errors if problem.what == what] == []


def test_dead_letters_are_counted_with_an_error_of_theirs(
    database: str, examine: Callable[[], Diagnosis], admin: psycopg.Connection[Any]
) -> None:
    make_items(database)
    admin.execute("INSERT INTO probe.poison VALUES ('1'), ('2')")
    admin.execute("INSERT INTO items VALUES (1, 1), (2, 2), (3, 3)")
    asyncio.run(drain(database))
    letters = [problem for problem in examine().errors if problem.remedy == "headrace dead-letters list"]
    assert [problem.what for problem in letters] == ["stream items has 2 dead letters (item 1 is poison)"]


def test_a_stream_far_behind_is_named_with_how_far(
    examine: Callable[[], Diagnosis], admin: psycopg.Connection[Any]
) -> None:
    insert(admin, "campaigns", name="c")
    assert examine().errors == ()  # behind, but not for long
    admin.execute("UPDATE headrace.change_log SET changed_at = changed_at - interval '2 minutes'")
    problem = the_error(examine())
    assert problem.what.startswith("stream campaign_stats shard 0 is 1 changes, 12")
    assert problem.what.endswith(" s behind")
    assert problem.remedy == "headrace worker"


def test_campaigns_that_wait_to_be_rebuilt_are_noted_with_how_many_are_left(
    examine: Callable[[], Diagnosis], database: str, admin: psycopg.Connection[Any]
) -> None:
    a_history(admin)
    asyncio.run(drain(database))
    admin.execute("SELECT headrace.request_rebuild()")
    (note,) = [note for note in examine().notes if note != NO_WORKER]
    assert note.what.startswith("stream campaign_stats has 2 to rebuild;")
    asyncio.run(drain(database))
    assert examine().notes == (NO_WORKER,)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE headrace.stream_cursor SET system_identifier = 1",
        "UPDATE headrace.stream_cursor SET database_name = 'another'",
        "UPDATE headrace.stream_cursor SET prev = '999999999:999999999:'",
    ],
    ids=["another cluster", "another database", "the future"],
)
def test_a_restored_or_cloned_database_is_recognised_and_the_printed_command_mends_it(
    harm: str, database: str, examine: Callable[[], Diagnosis], admin: psycopg.Connection[Any]
) -> None:
    admin.execute(harm.encode())
    problem = the_error(examine())
    assert problem == Problem(
        "stream campaign_stats stands in another cluster or in the future: this database was restored or cloned",
        "headrace streams rebase campaign_stats",
    )
    with pytest.raises(HeadraceError, match="headrace streams rebase campaign_stats"):
        asyncio.run(drain(database))
    runner = CliRunner(env={"HEADRACE_DATABASE_URL": database})
    assert runner.invoke(main, problem.remedy.split()[1:]).exit_code == 0
    assert examine().errors == ()
    asyncio.run(drain(database))


def test_an_old_writer_is_noted_with_its_pid(
    database: str, examine: Callable[[], Diagnosis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "OLD_WRITER_SECONDS", 0)
    with open_transaction(database, "INSERT INTO campaigns (name) VALUES ('open')") as writer:
        noted = [problem for problem in examine().notes if "has been writing" in problem.what]
        (problem,) = noted
        assert f"a transaction of pid {writer.info.backend_pid} " in problem.what
        assert problem.remedy.startswith(f"SELECT pg_terminate_backend({writer.info.backend_pid});")
    with open_transaction(database, "SELECT FROM campaigns"):
        assert examine().notes == (NO_WORKER,)


def test_amendments_that_wait_are_noted_with_their_campaigns(
    admin: psycopg.Connection[Any], examine: Callable[[], Diagnosis]
) -> None:
    campaign = insert(admin, "campaigns", status="running")
    insert(admin, "send_queue", campaign_id=campaign, status="sent", whatsapp_message_id="w")
    insert(admin, "message_status_logs", whatsapp_message_id="w", status="read")
    admin.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [campaign])
    admin.execute("DELETE FROM message_status_logs")
    admin.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [campaign])
    (waits,) = [problem for problem in examine().notes if "wait for a decision" in problem.what]
    assert waits.what.startswith(f"frozen campaigns that wait for a decision: 1 ({campaign}). ")
    assert "headrace campaigns amend ID --accept or --discard" in waits.remedy
    admin.execute("SELECT headrace.amend_campaigns(ARRAY[%s], true)", [campaign])
    assert examine().notes == (NO_WORKER,)


def test_a_restrictive_policy_that_hides_rows_is_an_error(app_database: str, settings: Settings) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE messages ENABLE ROW LEVEL SECURITY")
        connection.execute("CREATE POLICY tenants ON messages AS RESTRICTIVE USING (user_phone > '5')")
        connection.execute("CREATE POLICY others ON messages AS RESTRICTIVE FOR INSERT WITH CHECK (false)")
        (hidden,) = (p for p in diagnose(app_database, settings).errors if "policy" in p.what)
        assert hidden.what == (
            "the restrictive policy tenants hides rows of messages from role headrace_owner, which counts them"
        )
        with pytest.raises(HeadraceError, match="the restrictive policy tenants"):
            migrate(app_database, settings)
        connection.execute("ALTER POLICY tenants ON messages TO headrace_reader")
        assert "policy" not in str(diagnose(app_database, settings).errors)


def test_row_level_security_that_is_turned_on_later_is_an_error_and_migrate_mends_it(
    admin: psycopg.Connection[Any], examine: Callable[[], Diagnosis], settings: Settings, database: str
) -> None:
    admin.execute("ALTER TABLE messages ENABLE ROW LEVEL SECURITY")
    assert {problem.what for problem in examine().errors} == {
        "row-level security hides rows of table messages from role headrace_owner: what reads it is paused",
        "row-level security on messages hides rows from headrace_ingest",
        "row-level security on messages hides rows from headrace_owner",
    }
    assert {problem.remedy for problem in examine().errors} == {"headrace migrate"}
    migrate(database, settings)
    assert examine().errors == ()


def test_a_superuser_on_tables_of_somebody_else_is_told_to_be_that_one(
    plain_role: str, database: str, settings: Settings
) -> None:
    assert "superuser" not in str(diagnose(database, settings).notes)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE messages OWNER TO {plain_role}".encode())
        (note,) = (p for p in diagnose(database, settings).notes if "superuser" in p.what)
        assert f"the tables belong to {plain_role}," in note.what
        connection.execute("ALTER TABLE messages OWNER TO CURRENT_USER")


def test_a_role_without_rights_gets_a_sentence(database: str, plain_role: str, settings: Settings) -> None:
    with pytest.raises(
        HeadraceError, match=r"^doctor: the role lacks a right .*run it as the role that migrates"
    ) as caught:
        diagnose(as_role(database, plain_role), settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "advice"), [("transaction", "safer on the server's own address"), ("session", "fine")]
)
def test_a_pooler_is_noted_with_its_mode_and_is_no_error(
    mode: pooler.Mode, advice: str, examine: Callable[[], Diagnosis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooler, "mode", lambda url: mode)
    found = examine()
    assert found.errors == ()
    (note,) = set(found.notes) - {NO_WORKER}
    assert note.what == f"a connection pooler in {mode} mode stands between Headrace and the server"
    assert advice in note.remedy


def test_it_changes_and_locks_nothing(database: str, examine: Callable[[], Diagnosis]) -> None:
    everything = (
        "LOCK TABLE campaigns, send_queue, message_status_logs, messages, campaign_contacts,"
        " headrace.stream_cursor, headrace.stream, headrace.change_log IN EXCLUSIVE MODE"
    )
    with open_transaction(database, everything):
        assert examine().errors == ()


def test_the_command_prints_what_is_wrong_and_exits_1(database: str, admin: psycopg.Connection[Any]) -> None:
    runner = CliRunner(env={"HEADRACE_DATABASE_URL": database})
    fine = runner.invoke(main, ["doctor"])
    assert fine.exit_code == 0
    assert fine.output.startswith("PostgreSQL ")
    assert fine.output.endswith("nothing is wrong\n")
    admin.execute("DROP INDEX send_queue_message")
    wrong = runner.invoke(main, ["doctor"])
    assert wrong.exit_code == 1
    assert "wrong: table send_queue lacks an index on (whatsapp_message_id)" in wrong.output
    assert '       CREATE INDEX CONCURRENTLY ON "public"."send_queue" (whatsapp_message_id);' in wrong.output


def test_json_says_the_same_and_nothing_else(database: str, admin: psycopg.Connection[Any]) -> None:
    runner = CliRunner(env={"HEADRACE_DATABASE_URL": database})
    document = json.loads(runner.invoke(main, ["doctor", "--json"]).stdout)
    assert set(document) == {"domains", "server", "errors", "notes"}
    assert (document["domains"], document["errors"]) == (["campaign_stats"], [])
    admin.execute("DROP INDEX send_queue_message")
    result = runner.invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    (error,) = json.loads(result.stdout)["errors"]
    assert set(error) == {"what", "remedy"}


# --- a mistyped schema, many things of one kind ----------------------------------------------------------------------


def test_a_mistyped_source_schema_is_named_with_the_one_that_headrace_is_installed_for(
    database: str, settings: Settings
) -> None:
    elsewhere = settings.model_copy(update={"source_schema": "pubilc"})
    problem = the_error(diagnose(database, elsewhere))
    assert problem == Problem(
        "schema pubilc does not exist; Headrace is installed for schema public",
        "set HEADRACE_SOURCE_SCHEMA=public",
    )
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA pubilc")
    assert the_error(diagnose(database, elsewhere)).what == (
        "schema pubilc has none of the tables that Headrace reads; Headrace is installed for schema public"
    )
    for check in ([], ["--check"]):
        said = run("migrate", *check, HEADRACE_DATABASE_URL=database, HEADRACE_SOURCE_SCHEMA="pubilc").stderr
        assert said.endswith("nothing was changed; set HEADRACE_SOURCE_SCHEMA=public\n")
        assert "CREATE TABLE" not in said


def test_a_source_schema_that_does_not_exist_is_named_before_anything_is_installed(
    app_database: str, settings: Settings
) -> None:
    found = diagnose(app_database, settings.model_copy(update={"source_schema": "pubilc"}))
    assert found.errors[0] == Problem(
        "schema pubilc does not exist", "set HEADRACE_SOURCE_SCHEMA to the schema of the application's tables"
    )
    assert "CREATE TABLE" not in str(found)


def test_many_things_that_one_remedy_mends_are_one_entry() -> None:
    few = [Problem(f"thing {n}", "headrace migrate") for n in range(3)]
    other = Problem("another", "headrace worker")
    assert grouped([few[0], other, *few[1:]]) == [*few, other]
    many = [Problem(f"thing {n}", "headrace migrate") for n in range(32)]
    assert grouped([*many, other]) == [
        Problem("32 things: thing 0; thing 1; thing 2; and 29 more (--json has all)", "headrace migrate"),
        other,
    ]


def test_campaigns_that_cannot_be_rebuilt_are_named_as_far_as_they_can_be_read(
    database: str, examine: Callable[[], Diagnosis], admin: psycopg.Connection[Any]
) -> None:
    admin.execute("INSERT INTO campaigns (name, status) SELECT 'c', 'running' FROM generate_series(1, 40)")
    asyncio.run(drain(database))
    admin.execute("UPDATE headrace.campaign SET rebuild_error = repeat('no ', 1000000), rebuild_failures = 1")
    found = [problem for problem in examine().errors if "cannot be rebuilt" in problem.what]
    assert [problem.what[:9] for problem in found] == ["campaign "] * 5 + ["35 more c"]
    assert max(len(problem.what) for problem in found) < 500
