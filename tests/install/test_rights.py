"""What the three roles may do works for them; everything else is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from orchestration.engine.housekeeping import housekeep_once
from orchestration.engine.stream import drain
from orchestration.engine.worker import Worker
from orchestration.errors import HeadraceError
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree
from tests.rows import a_history
from tests.sessions import as_role, open_transaction

STATISTICS = {
    "campaign_template_stats",
    "campaign_computed_stats",
    "campaign_template_stats_live",
    "campaign_hourly_stats",
    "campaign_stats_amendment",
}
OPERATIONS = {"stream_lag", "stream", "worker", "activity"}
READABLE = {
    "headrace_reader": STATISTICS | OPERATIONS,
    "headrace_app": STATISTICS,
    "headrace_worker": STATISTICS
    | OPERATIONS
    | {
        "dead_letter",
        "stream_cursor",
        "source",
        "installation",
        "campaign",
        "webhook_reject",
        "campaign_completion",
        "campaign_standing",
        "campaign_stats_pending_amendment",
        "document_agreement",
        "document_faults",
    },
}
# What the view campaign_template_stats_live calls.
LIVE = {"live_counters", "source_campaign_ids"}
FOR_ALL = ("campaign_stats", "get_campaign_template_stats", "campaign_contact_distribution")


@pytest.fixture
def filled(database: str) -> str:
    """A database with statistics."""
    with psycopg.connect(database, autocommit=True) as connection:
        a_history(connection)
    asyncio.run(drain(database))
    return database


@pytest.mark.parametrize("role", READABLE)
def test_a_role_reads_what_is_granted_to_it_and_nothing_else(role: str, filled: str) -> None:
    with psycopg.connect(as_role(filled, role), autocommit=True) as connection:
        relations = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'headrace'::regnamespace AND relkind IN ('r', 'p', 'v')"
        ).fetchall()
        readable = set()
        for (relation,) in relations:
            try:
                connection.execute(f"SELECT * FROM headrace.{relation}")
                readable.add(relation)
            except psycopg.errors.InsufficientPrivilege:
                pass
            with pytest.raises(
                (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
            ):
                connection.execute(f"DELETE FROM headrace.{relation}")
        assert readable == READABLE[role]


def test_every_role_calls_the_functions_that_serve(filled: str) -> None:
    with psycopg.connect(filled) as admin:
        (campaign,) = admin.execute("SELECT id FROM campaigns LIMIT 1").fetchall()[0]
    for role in READABLE:
        with psycopg.connect(as_role(filled, role)) as connection:
            for function in FOR_ALL:
                assert connection.execute(f"SELECT headrace.{function}(%s)", [campaign]).fetchall(), (
                    role,
                    function,
                )


@pytest.mark.parametrize(
    ("role", "more"),
    [
        ("headrace_reader", {"stream_rebuilds", "oldest_writer", "changes_behind"}),
        ("headrace_app", {"ingest_whatsapp_webhook", "ingest_whatsapp_webhook_text"}),
    ],
)
def test_readers_and_applications_call_nothing_else(role: str, more: set[str], filled: str) -> None:
    with psycopg.connect(as_role(filled, role), autocommit=True) as connection:
        functions = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace"
            " AND has_function_privilege(oid, 'EXECUTE')"
        ).fetchall()
        served = {*FOR_ALL, "list_campaign_stats", "template_stats"}
        assert {function for (function,) in functions} == served | LIVE | more


@pytest.mark.parametrize("role", ["headrace_reader", "headrace_worker"])
def test_since_when_somebody_else_writes_is_seen_with_the_owners_rights(role: str, database: str) -> None:
    with (
        open_transaction(database, "INSERT INTO campaigns (name) VALUES ('open')") as writer,
        psycopg.connect(as_role(database, role)) as connection,
    ):
        seen = connection.execute(
            "SELECT oldest_writer_pid, oldest_writer_seconds > 0 FROM headrace.stream_lag"
        )
        assert seen.fetchall() == [(writer.info.backend_pid, True)]


def test_a_worker_needs_only_its_role(database: str, plain_role: str, settings: Settings) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        a_history(admin)
        url = as_role(database, plain_role)
        for use in (
            drain(url),
            Worker(url).run(),
            housekeep_once(url, settings.change_retention, settings.stream_lost_after),
        ):
            with pytest.raises(HeadraceError, match="GRANT headrace_worker TO") as caught:
                asyncio.run(use)
            assert "\n" not in str(caught.value)
        admin.execute(f"GRANT headrace_worker TO {plain_role}")
        try:
            asyncio.run(housekeep_once(url, settings.change_retention, settings.stream_lost_after))
            assert asyncio.run(drain(url)).changes > 0
        finally:
            admin.execute(f"REVOKE headrace_worker FROM {plain_role}")
        assert_all_agree(admin)


def catalog(admin: psycopg.Connection[Any], condition: str) -> list[str]:
    rows = admin.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace AND "
        + condition
    )
    return [name for (name,) in rows]


def test_nothing_in_the_schema_is_open_to_everybody(filled: str) -> None:
    with psycopg.connect(filled) as admin:
        assert (
            catalog(admin, "proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0)")
            == []
        )
        open_relations = admin.execute(
            "SELECT relname FROM pg_class, aclexplode(relacl) WHERE relnamespace = 'headrace'::regnamespace AND grantee = 0"
        ).fetchall()
        assert open_relations == []
        schema = admin.execute(
            "SELECT privilege_type FROM pg_namespace, aclexplode(nspacl) WHERE nspname = 'headrace' AND grantee = 0"
        ).fetchall()
        assert schema == []


def test_functions_that_act_as_their_owner_pin_their_search_path_with_pg_temp_last(filled: str) -> None:
    with psycopg.connect(filled) as admin:
        assert len(catalog(admin, "prosecdef")) > 20
        pinned = "EXISTS (SELECT FROM unnest(proconfig) c WHERE c IN ({}))".format(
            "'search_path=pg_catalog, headrace, pg_temp', 'search_path=pg_catalog, pg_temp'"
        )
        # This one runs the application's triggers, which look for their own tables; it qualifies every name itself.
        assert [name.partition("(")[0] for name in catalog(admin, f"prosecdef AND {pinned} IS NOT TRUE")] == [
            "headrace.store_webhook_items"
        ]
        # Functions that do not act as their owner need no search_path if they qualify every name; then they can be inlined.
        assert catalog(admin, f"NOT prosecdef AND {pinned} IS NOT TRUE AND prolang <> 14") == []
