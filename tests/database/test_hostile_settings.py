"""Whatever settings a role or a database has: the numbers are right, or the work is refused in a sentence.

The settings come from the server's own list, so that a newer server's new settings are tried too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from orchestration.database import sessions
from tests.campaign_stats.oracle import assert_all_agree
from tests.campaign_stats.webhooks import counts, envelope, message, status
from tests.commands import a_sentence, run
from tests.rows import a_history

# Values for settings that are text or have no meaningful extremes, as an operator or a curious person might set them.
HOSTILE = {
    "search_path": ["''", "pg_temp, public", '"$user"', "public, pg_catalog"],
    "client_encoding": ["LATIN1", "SQL_ASCII", "EUC_JP"],
    "DateStyle": ["'German'", "'SQL, DMY'", "'Postgres, YMD'"],
    "TimeZone": ["'Asia/Kathmandu'", "'America/St_Johns'", "'Pacific/Apia'"],
    "timezone_abbreviations": ["'India'"],
    "default_tablespace": ["nowhere"],
    "temp_tablespaces": ["nowhere"],
    "default_text_search_config": ["'pg_catalog.german'"],
    "lc_monetary": ["'C'"],
    "lc_numeric": ["'C'"],
    "lc_time": ["'C'"],
    "plpgsql.variable_conflict": ["use_variable", "use_column"],
    "plpgsql.extra_errors": ["'all'"],
    "plpgsql.extra_warnings": ["'all'"],
    "plpgsql.print_strict_params": ["on"],
    "plpgsql.check_asserts": ["off"],
    "createrole_self_grant": ["'set, inherit'"],
    "work_mem": ["64"],
    "maintenance_work_mem": ["1024"],
    "statement_timeout": ["300"],
    "lock_timeout": ["1"],
    "idle_session_timeout": ["500"],
    "idle_in_transaction_session_timeout": ["20"],
    "transaction_timeout": ["300"],
}
# No application would work with the hostile values of these: the test's application session gets these values instead.
NOT_OF_AN_APPLICATION = {
    **dict.fromkeys(("statement_timeout", "lock_timeout", "idle_session_timeout"), "0"),
    **dict.fromkeys(("idle_in_transaction_session_timeout", "transaction_timeout"), "0"),
    "search_path": "public",
    "exit_on_error": "off",
}
# Not tried: scarce resources, settings that only log or sleep, those that do damage, those that nobody sets as a default.
NOT_TRIED = (
    *("log_", "debug_p", "debug_d", "debug_w", "trace_", "wal_", "temp_buffers", "temp_file_limit", "max_stack_depth"),
    *("post_auth_delay", "client_min_messages", "default_transaction_read_only", "ignore_", "zero_damaged_pages"),
    *("allow_", "transaction_isolation", "transaction_read_only", "transaction_deferrable", "commit_delay", "seed"),
    *("session_authorization", "role", "backtrace_functions", "vacuum_cost", "geqo_pool", "geqo_gener", "update_process", "jit_d"),
)  # fmt: skip
ROUNDS = 5


def choices(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Hostile values for each setting: all but the default, or the smallest and the greatest."""
    found = {}
    rows = connection.execute(
        "SELECT name, vartype, enumvals, boot_val, min_val, max_val FROM pg_settings"
        " WHERE context IN ('user', 'superuser') ORDER BY name"
    )
    for name, kind, values, default, least, most in rows:
        if name in HOSTILE:
            found[name] = HOSTILE[name]
        elif name.startswith(NOT_TRIED) or kind == "string":
            continue
        elif kind == "bool":
            found[name] = ["off" if default == "on" else "on"]
        elif kind == "enum":
            found[name] = [f"'{value}'" for value in values if value != default]
        else:
            found[name] = [least, most]
    found |= {name: values for name, values in HOSTILE.items() if name.startswith("plpgsql.")}
    return {name: values for name, values in found.items() if values}


@pytest.fixture
def hostile(app_database: str) -> Iterator[Callable[[int], psycopg.Connection[Any]]]:
    """Gives the database, or its role in it, the hostile values of a round; returns a session that was open before."""
    with psycopg.connect(app_database, autocommit=True) as connection:

        def set_all(number: int) -> psycopg.Connection[Any]:
            name = sql.Identifier(connection.info.dbname)
            whose = sql.SQL("DATABASE {}").format(name)
            if number % 2:
                whose = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(connection.info.user), name)
            tried = choices(connection)
            assert len(tried) > 100
            for setting, values in tried.items():
                value = sql.SQL(values[number % len(values)])  # type: ignore[arg-type]
                connection.execute(sql.SQL("ALTER {} SET {} = {}").format(whose, sql.SQL(setting), value))  # type: ignore[arg-type]
            return connection

        yield set_all


def application(url: str) -> psycopg.Connection[Any]:
    """An application's session with these settings, except those with which no application would work."""
    session = psycopg.connect(url, autocommit=True)
    for name, value in NOT_OF_AN_APPLICATION.items():
        session.execute("SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s", [value, name])
    return session


WRITES = """
    UPDATE public.campaigns SET name = name || ' (edited)', status = 'paused';
    UPDATE public.send_queue SET sent_at = sent_at - interval '1 minute' WHERE status = 'sent';
    UPDATE public.send_queue SET user_phone = NULL, template_name = 'NULL' WHERE whatsapp_message_id LIKE '%.7';
    DELETE FROM public.message_status_logs WHERE status = 'read';
    DELETE FROM public.messages WHERE user_phone LIKE '%5';
    DELETE FROM public.send_queue WHERE whatsapp_message_id LIKE '%.3';
"""
WEBHOOK = envelope(
    {
        "contacts": [{"wa_id": "phone 1", "profile": {"name": "NULL"}}],
        "messages": [message(phone="phone 1")],
        "statuses": [status("wamid.0.7", "read"), status("wamid.1.7", "failed")],
    }
)
READS = (
    "SELECT string_agg((headrace.campaign_stats(id) - 'age_seconds')::text, ' ' ORDER BY id) FROM public.campaigns",
    "SELECT string_agg((e - 'age_seconds')::text, ' ' ORDER BY e ->> 'campaign_id')"
    " FROM jsonb_array_elements(headrace.list_campaign_stats() -> 'campaigns') e",
    "SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM headrace.template_stats() t",
    "SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM public.campaigns, headrace.get_campaign_template_stats(id) t",
    "SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM headrace.campaign_template_stats_live t",
)


def in_utc(row: tuple[Any, ...] | None) -> str:
    """The text with all times in UTC: each session sees them in its own time zone."""
    assert row is not None
    text = row[0].decode() if isinstance(row[0], bytes) else row[0]  # bytes for a client in SQL_ASCII
    moment = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d")
    return moment.sub(lambda found: str(datetime.fromisoformat(found[0]).astimezone(UTC)), text)


def headrace(url: str, *arguments: str) -> str:
    done = run(*arguments, HEADRACE_DATABASE_URL=url)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("number", range(ROUNDS))
def test_with_every_setting_hostile_the_numbers_are_right(
    number: int, app_database: str, hostile: Callable[[int], psycopg.Connection[Any]]
) -> None:
    usual = hostile(number)
    headrace(app_database, "migrate")
    assert "up to date" in headrace(app_database, "migrate", "--check")
    with application(app_database) as app:
        campaigns = a_history(app)
        headrace(app_database, "worker", "--until-idle", "--timeout", "60")
        assert_all_agree(usual)
        for write in WRITES.split(";\n"):
            app.execute(write.encode())
        # At any other isolation level it is refused, in a sentence.
        app.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        with app.transaction():
            answer = app.execute(
                "SELECT headrace.ingest_whatsapp_webhook(%s::jsonb)::text", [json.dumps(WEBHOOK)]
            ).fetchone()
        assert answer is not None
        assert json.loads(answer[0])["statuses"] == counts(stored=2)
        headrace(app_database, "worker", "--until-idle", "--timeout", "60")
        expected = assert_all_agree(usual)
        for read in READS:
            assert in_utc(app.execute(read.encode()).fetchone()) == in_utc(
                usual.execute(read.encode()).fetchone()
            )
    document = json.loads(headrace(app_database, "stats", str(campaigns[0]), "--json"))
    assert document["totals"]["total"] == sum(
        counted[0] for key, counted in expected.items() if key[0] == campaigns[0]
    )
    for command in (("stats",), ("streams",), ("campaigns", "list"), ("rebuild", str(campaigns[1]))):
        headrace(app_database, *command)
    assert json.loads(headrace(app_database, "doctor", "--json"))["errors"] == []
    headrace(app_database, "uninstall", "--yes")


def test_a_database_that_is_to_be_read_only_is_respected_and_said_to_be_so(database: str) -> None:
    """Some hosts do this to a database whose disk is full."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        a_history(connection)
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    assert run("stats", HEADRACE_DATABASE_URL=database).exit_code == 0
    for command in (("migrate",), ("uninstall", "--yes"), ("worker", "--until-idle", "--timeout", "1")):
        assert "read-only" in a_sentence(run(*command, HEADRACE_DATABASE_URL=database))
    examined = json.loads(run("doctor", "--json", HEADRACE_DATABASE_URL=database).stdout)
    assert ["default_transaction_read_only" in error["remedy"] for error in examined["errors"]] == [True]


def test_a_session_of_ours_inherits_no_setting_that_we_have_a_value_for(
    app_database: str, hostile: Callable[[int], psycopg.Connection[Any]]
) -> None:
    hostile(0)
    with sessions.open_session(app_database) as session:
        rows = session.execute("SELECT name, setting, unit FROM pg_settings").fetchall()
    found = {
        name: setting if unit != "ms" or setting == "0" else f"{int(setting) // 1000}s"
        for name, setting, unit in rows
    }
    assert {name: found[name] for name in sessions.SETTINGS} == dict(sessions.SETTINGS)
