"""The command line: its messages, its exit codes, and that every refusal is a sentence."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest

from orchestration.cli import main
from orchestration.database.connections import connect, engine
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree
from tests.commands import Headrace, a_sentence, run, subprocess_environment
from tests.concurrency.items import make_items
from tests.rows import a_history, insert
from tests.sessions import as_role, open_transaction, wait_until


@pytest.fixture
def headrace(database: str) -> Headrace:
    return lambda *arguments: run(*arguments, HEADRACE_DATABASE_URL=database)


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]

    def walk(group: click.Group, path: tuple[str, ...]) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            found.append((*path, name))
            if isinstance(command, click.Group):
                walk(command, (*path, name))

    walk(main, ())
    return found


# --- help, settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_command_and_each_of_its_options_is_explained(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    usage, _, rest = result.output.partition("\n\n")
    assert usage.startswith("Usage: ")
    assert len(rest.split("Options:")[0].strip()) > 20
    options = rest.split("Options:")[1].split("Commands:")[0]
    for option in re.findall(r"^  (--?[a-z].*)$", options, re.MULTILINE):
        assert re.search(r"\S {2,}\S", option) or option.strip().endswith("RANGE"), (
            f"{option} is not explained"
        )


def test_the_commands_of_the_design_are_there() -> None:
    names = {command[0] for command in every_command() if command}
    assert names >= {
        "up",
        "env",
        "migrate",
        "doctor",
        "worker",
        "stats",
        "rebuild",
        "streams",
        "dead-letters",
        "demo",
        "settings",
    }


def test_settings_are_listed_with_secrets_hidden() -> None:
    result = run(
        "settings",
        HEADRACE_DATABASE_URL="postgresql://me:geheim@db/app",
        DAGSTER_PG_URL="postgresql://me:geheim@db/dagster",
        HEADRACE_REPLY_WINDOW="P3D",
    )
    assert result.exit_code == 0
    assert "geheim" not in result.output
    for name in Settings.model_fields:
        assert f"HEADRACE_{name.upper()}" in result.output or name.upper() in result.output
    assert "3 days" in result.output


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("HEADRACE_DATABASE_URL", "mysql://me:geheim@db/app", "must start with postgresql://"),
        ("HEADRACE_DATABASE_URL", "geheim", "must start with postgresql://"),
        ("HEADRACE_DATABASE_URL", "postgresql:me:geheim", "must start with postgresql://"),
        ("HEADRACE_DATABASE_URL", "postgresql://me:ge@heim@db/app", "must be written %40"),
        ("HEADRACE_DATABASE_URL", "postgresql://me:ge/heim@db/app", "must be written %40 and %2F"),
        ("DAGSTER_PG_URL", "mysql://me:geheim@db/app", "must start with postgresql://"),
        ("HEADRACE_REPLY_WINDOW", "a week", "valid timedelta"),
        ("HEADRACE_REPLY_WINDOW", "-P1D", "greater than 0"),
        ("HEADRACE_SETTLE_WINDOW", "-P1D", "greater than or equal to 0"),
        ("HEADRACE_SETTLE_WINDOW", "P100000Y", "less than or equal to 3650000 days"),
        ("HEADRACE_PARTITIONS_START", "yesterday", "date"),
    ],
)
def test_a_variable_of_the_wrong_kind_is_named_without_its_value(
    variable: str, value: str, says: str
) -> None:
    for command in ("settings", "doctor", "migrate"):
        said = a_sentence(run(command, **{variable: value}))
        assert said.startswith(f"headrace: settings: {variable}: ")
        assert says in said
        assert "heim" not in said


# --- no database, or not ours --------------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


NEEDING_A_DATABASE = [
    ("migrate",),
    ("migrate", "--check"),
    ("doctor",),
    ("streams",),
    ("dead-letters", "list"),
    ("stats", "00000000-0000-4000-8000-000000000000"),
    ("rebuild", "--all"),
    ("worker",),
    ("worker", "--until-idle"),
]


@pytest.mark.parametrize("command", NEEDING_A_DATABASE, ids=" ".join)
def test_a_server_out_of_reach_is_a_sentence_without_the_password(command: tuple[str, ...]) -> None:
    url = f"postgresql://me:geheim@127.0.0.1:{closed_port()}/app"
    said = a_sentence(run(*command, HEADRACE_DATABASE_URL=url), exit_code=2)
    assert "cannot connect to the database" in said
    assert "check HEADRACE_DATABASE_URL" in said
    assert "geheim" not in said


UNREADABLE = "postgresql://me:geheim@[::1/app"


@pytest.mark.parametrize(
    "connecting",
    [lambda: asyncio.run(connect(UNREADABLE)), lambda: engine(UNREADABLE).connect()],
    ids=["asynchronous", "engine"],
)
def test_not_even_a_traceback_of_a_url_that_is_none_has_the_password(
    connecting: Callable[[], object],
) -> None:
    with pytest.raises(HeadraceError) as caught:
        connecting()
    assert "heim" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:ge%heim@127.0.0.1/app",
        "postgresql://me:geheim@[::1/app",
        "postgresql://me:geheim@127.0.0.1:port/app",
        "postgresql://me:geheim@127.0.0.1:1,127.0.0.2:1/app",
        "postgresql://me:geheim@127.0.0.1:1/app?no_such_option=1",
        "postgresql://",
    ],
)
@pytest.mark.parametrize("command", [("migrate",), ("doctor",), ("streams",)], ids=" ".join)
def test_a_url_that_is_none_is_a_sentence_without_the_password(command: tuple[str, ...], url: str) -> None:
    said = a_sentence(run(*command, HEADRACE_DATABASE_URL=url, PGHOST="127.0.0.1", PGPORT=str(closed_port())))
    assert "HEADRACE_DATABASE_URL" in said
    assert "heim" not in said


def test_a_database_that_does_not_exist_is_a_sentence(app_database: str) -> None:
    nowhere = re.sub(r"/test_\w+", "/nowhere", app_database)
    said = a_sentence(run("streams", HEADRACE_DATABASE_URL=nowhere), exit_code=2)
    assert 'database "nowhere" does not exist' in said


@pytest.mark.parametrize("command", NEEDING_A_DATABASE[3:], ids=" ".join)
def test_a_database_without_headrace_is_told_to_migrate(command: tuple[str, ...], app_database: str) -> None:
    said = a_sentence(run(*command, HEADRACE_DATABASE_URL=app_database))
    assert "schema headrace is not installed" in said
    assert said.endswith("run: headrace migrate")


@pytest.mark.parametrize("command", [("worker",), ("worker", "--until-idle"), ("streams",)], ids=" ".join)
def test_a_role_without_rights_is_told_which_role_to_get(
    command: tuple[str, ...], database: str, plain_role: str
) -> None:
    said = a_sentence(run(*command, HEADRACE_DATABASE_URL=as_role(database, plain_role)))
    assert "GRANT headrace_worker TO <role>;" in said


# --- migrate -------------------------------------------------------------------------------------------------------


def test_migrate_says_what_it_did_and_check_whether_something_is_to_be_done(app_database: str) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        a_history(connection)
    env = {"HEADRACE_DATABASE_URL": app_database}
    check = run("migrate", "--check", **env)
    assert (check.exit_code, check.output) == (1, "schema headrace is not installed\nrun: headrace migrate\n")
    done = run("migrate", **env)
    assert (done.exit_code, done.output) == (
        0,
        "migrated; active: campaign_stats; 2 campaigns queued for rebuild\n",
    )
    assert run("migrate", **env).output == "migrated; active: campaign_stats\n"
    check = run("migrate", "--check", **env)
    assert (check.exit_code, check.output) == (0, "up to date\n")


def test_migrate_without_source_tables_says_how_to_get_them(
    new_database: Callable[[str | None], str],
) -> None:
    done = run("migrate", HEADRACE_DATABASE_URL=new_database(None))
    assert done.exit_code == 0
    assert done.output.startswith(
        "no domain is active: schema public has none of the tables in dbt_like_sql/sources.yml."
    )
    assert done.output.endswith("migrated; active: none\n")


def test_migrate_refuses_what_does_not_fit_with_the_statements_that_mend_it(app_database: str) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute("DROP INDEX send_queue_message")
    for command in (("migrate",), ("migrate", "--check")):
        result = run(*command, HEADRACE_DATABASE_URL=app_database)
        assert result.exit_code == 1
        assert "nothing was changed" in result.stderr
        assert 'CREATE INDEX CONCURRENTLY ON "public"."send_queue" (whatsapp_message_id);' in result.stderr


# --- streams, dead letters -----------------------------------------------------------------------------------------


def test_streams_shows_each_shard_and_rebase_starts_anew(
    headrace: Headrace, database: str, admin: psycopg.Connection[Any]
) -> None:
    make_items(database, shards=2)
    admin.execute("INSERT INTO items SELECT n, n FROM generate_series(1, 50) n")
    listed = headrace("streams").output
    assert listed.count("\nitems\t") == 2
    assert "\ncampaign_stats\t" in listed
    assert headrace("streams", "rebase", "items", "--shards", "3").output == (
        "stream items starts anew; what it derives is queued for rebuild: headrace worker --until-idle\n"
    )
    assert headrace("streams").output.count("\nitems\t") == 3
    assert asyncio.run(drain(database, ["items"])).changes == 0
    assert "there is no stream nonsense" in a_sentence(headrace("streams", "rebase", "nonsense"))


def test_streams_shows_how_many_campaigns_wait_to_be_rebuilt(
    headrace: Headrace, admin: psycopg.Connection[Any]
) -> None:
    a_history(admin)
    admin.execute("SELECT headrace.request_rebuild()")
    heading, row = (
        line.split("\t")
        for line in headrace("streams").output.splitlines()
        if "to_rebuild" in line or "campaign_stats" in line
    )
    assert row[heading.index("to_rebuild")] == "2"


def test_dead_letters_are_listed_retried_and_discarded(
    headrace: Headrace, database: str, admin: psycopg.Connection[Any]
) -> None:
    assert headrace("dead-letters", "list").output == "no dead letters\n"
    assert json.loads(headrace("dead-letters", "list", "--json").output) == []
    make_items(database)
    admin.execute("INSERT INTO probe.poison VALUES ('1'), ('2'), ('3')")
    admin.execute("INSERT INTO items SELECT n, n FROM generate_series(1, 4) n")
    asyncio.run(drain(database))
    listed = headrace("dead-letters", "list")
    assert listed.exit_code == 0
    assert listed.output.count("22000 item ") == 3
    letters = json.loads(headrace("dead-letters", "list", "--json").output)
    assert [(letter["entity"], letter["op"], letter["attempts"]) for letter in letters] == [
        (entity, "I", 1) for entity in "123"
    ]
    first, second, _ = (str(letter["id"]) for letter in letters)
    admin.execute("DELETE FROM probe.poison WHERE entity_id = '1'")
    tried = headrace("dead-letters", "retry", first, second)
    assert (tried.exit_code, tried.output) == (1, "1 applied, 1 failed again\n")
    for command in ("retry", "discard"):
        said = a_sentence(headrace("dead-letters", command, second, "999999"), exit_code=1)
        assert said.startswith("headrace: there is no dead letter 999999; headrace dead-letters list shows")
    assert headrace("dead-letters", "discard", second).output == "1 discarded\n"
    assert headrace("dead-letters", "discard", "--all").output == "1 discarded\n"
    assert headrace("dead-letters", "list").output == "no dead letters\n"
    for command in (("discard",), ("discard", "1", "--all"), ("retry", "1", "--all")):
        assert "name dead letters by id, or say --all" in a_sentence(
            headrace("dead-letters", *command), exit_code=2
        )
    assert headrace("dead-letters", "retry").output == "0 applied, 0 failed again\n"


def test_what_rows_say_is_shown_as_it_is_and_not_taken_for_markup(
    headrace: Headrace, database: str, admin: psycopg.Connection[Any]
) -> None:
    odd = "[red]50% off[/red] :smile: [/nothing]"
    campaign = insert(admin, "campaigns", name=odd, status="running")
    insert(admin, "send_queue", campaign_id=campaign, template_name=odd)
    asyncio.run(drain(database))
    shown = headrace("stats", str(campaign))
    assert shown.exit_code == 0, shown.exception
    assert shown.output.count(odd) == 2


# --- worker --------------------------------------------------------------------------------------------------------


def test_until_idle_applies_everything_and_says_how_much(
    headrace: Headrace, admin: psycopg.Connection[Any]
) -> None:
    a_history(admin)
    done = headrace("worker", "--until-idle")
    assert done.exit_code == 0
    changes, rebuilt = map(int, re.findall(r"(\d+) (?:changes|campaigns)", done.output))
    assert changes > 50
    assert rebuilt == 2
    assert done.output.endswith("0 dead letters\n")
    assert_all_agree(admin)
    assert (
        headrace("worker", "--until-idle").output
        == "idle: 0 changes applied, 0 campaigns rebuilt, 0 dead letters\n"
    )


def test_until_idle_waits_for_no_transaction_that_captured_nothing(
    headrace: Headrace, database: str, admin: psycopg.Connection[Any]
) -> None:
    a_history(admin)
    with open_transaction(
        database, "CREATE TABLE anything (id int); UPDATE campaigns SET name = 'unwatched'"
    ):
        assert headrace("worker", "--until-idle", "--timeout", "20").exit_code == 0


def test_a_timeout_exits_3_and_names_what_is_in_the_way(
    headrace: Headrace, database: str, admin: psycopg.Connection[Any]
) -> None:
    insert(admin, "campaigns", name="c")
    with open_transaction(database, "SELECT FROM headrace.stream_cursor FOR UPDATE") as holder:
        said = a_sentence(headrace("worker", "--until-idle", "--timeout", "0.3"), exit_code=3)
        assert "not idle after 0.3 s" in said
        assert "stream campaign_stats shard 0 is 1 changes" in said
        assert f"pid {holder.info.backend_pid}" in said


def test_a_timeout_without_until_idle_is_refused(headrace: Headrace) -> None:
    assert "--timeout goes with --until-idle" in a_sentence(headrace("worker", "--timeout", "5"), exit_code=2)


@pytest.mark.parametrize("until_idle", [(), ("--until-idle",)], ids=["resident", "until idle"])
def test_a_stream_that_is_none_is_named_beside_those_there_are(
    headrace: Headrace, until_idle: tuple[str, ...]
) -> None:
    said = a_sentence(headrace("worker", "--streams", "campaign_stats, nonsense", *until_idle), exit_code=2)
    assert said == "headrace: there is no stream nonsense; there are: campaign_stats"


def test_the_resident_worker_works_without_dagster_and_ends_with_its_batch_on_sigterm(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    watched = (
        "import sys, orchestration.cli as cli\n"
        "try: cli.main(['worker'], standalone_mode=False)\n"
        "finally: print([name for name in sys.modules if name.startswith('dagster')])"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", watched],
        env=subprocess_environment(HEADRACE_DATABASE_URL=database),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        a_history(admin)
        waiting = "SELECT count(*) FROM headrace.stream_poll()"
        wait_until(lambda: admin.execute("SELECT count(*) FROM headrace.worker").fetchone() == (1,))
        wait_until(lambda: admin.execute(waiting).fetchone() == (0,))
        worker.send_signal(signal.SIGTERM)
        out, log = worker.communicate(timeout=30)
    finally:
        worker.kill()
    assert worker.returncode == 0, log
    assert out == "[]\n"
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert (events[0], events[-1]) == ("worker started", "worker stopped")
    assert admin.execute("SELECT state FROM headrace.worker").fetchall() == [("stopped",)]
    assert_all_agree(admin)


def test_the_installed_module_prints_a_sentence_and_exits(tmp_path: Path) -> None:
    url = f"postgresql://me:geheim@127.0.0.1:{closed_port()}/app"
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "migrate"],
        env=subprocess_environment(HEADRACE_DATABASE_URL=url),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("headrace: cannot connect to the database: ")
    assert done.stderr.count("\n") == 1
    assert "geheim" not in done.stderr
    assert list(tmp_path.iterdir()) == []
