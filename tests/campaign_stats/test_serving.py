"""What applications call: the document of a campaign, the seed's function, the contact distribution, rights."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.oracle import drain
from tests.rows import a_history, insert

Connection = psycopg.Connection[Any]


@pytest.fixture
def app(database: str) -> Connection:
    return psycopg.connect(database, autocommit=True)


def _campaign(app: Connection, status: str = "running", rows: int = 4) -> uuid.UUID:
    """A campaign with one template: all rows are sent except the last, which failed; the first is read and answered."""
    found = app.execute(
        "INSERT INTO campaigns (name, status) VALUES ('c', %s) RETURNING id", [status]
    ).fetchone()
    assert found is not None
    app.execute(
        "INSERT INTO send_queue (campaign_id, template_name, status, whatsapp_message_id, user_phone, whatsapp_number_id)"
        " SELECT %s, 'hello', CASE WHEN n < %s THEN 'sent' ELSE 'failed' END, 'm' || n, 'p' || n, 'n'"
        " FROM generate_series(1, %s) n",
        [found[0], rows, rows],
    )
    app.execute(
        "INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m1', 'read'), ('m2', 'delivered')"
    )
    app.execute(
        "INSERT INTO messages (user_phone, whatsapp_number_id, direction) VALUES ('p1', 'n', 'incoming')"
    )
    campaign: uuid.UUID = found[0]
    return campaign


def _document(app: Connection, campaign: uuid.UUID) -> dict[str, Any] | None:
    row = app.execute("SELECT headrace.campaign_stats(p_campaign_id => %s)", [campaign]).fetchone()
    assert row is not None
    document: dict[str, Any] | None = row[0]
    return document


EXPECTED = {
    "total": 4,
    "sent": 3,
    "delivered": 2,
    "read": 1,
    "replied": 1,
    "failed": 1,
    "failed_queue": 1,
    "failed_delivery": 0,
    "delivered_rate": 0.666667,
    "read_rate": 0.5,
    "replied_rate": 0.5,
}
# The statuses came when the messages were sent, or a moment later.
MEDIANS = {"median_seconds_to_delivered": 0, "median_seconds_to_read": 0}
FIELDS = {
    *("campaign_id", "name", "status", "created_at", "completed_at"),
    *("source", "state", "version", "computed_at", "age_seconds", "frozen_at", "deleted_at"),
    *("totals", "template_stats"),
}


def test_a_campaign_is_served_live_until_it_is_computed_and_says_which(app: Connection) -> None:
    campaign = _campaign(app)
    live = _document(app, campaign)
    assert live is not None
    assert (live["source"], live["age_seconds"]) == ("live", 0)
    assert live["totals"] == {**EXPECTED, **MEDIANS}
    drain(app)
    computed = _document(app, campaign)
    assert computed is not None
    assert (computed["source"], computed["state"]) == ("computed", "live")
    assert computed["totals"] == live["totals"]
    assert computed.keys() == live.keys() == FIELDS
    assert (computed["frozen_at"], computed["deleted_at"]) == (None, None)
    assert computed["template_stats"] == live["template_stats"] == [{"template_name": "hello", **EXPECTED}]
    assert 0 <= computed["age_seconds"] < 60
    assert computed["computed_at"] is not None


def test_the_version_rises_only_when_numbers_change(app: Connection) -> None:
    campaign = _campaign(app)
    drain(app)
    before = _document(app, campaign)
    app.execute(
        "INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m1', 'read'), ('m1', 'delivered')"
    )
    app.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [campaign])
    drain(app)
    same = _document(app, campaign)
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m2', 'read')")
    drain(app)
    other = _document(app, campaign)
    assert before is not None
    assert same is not None
    assert other is not None
    assert same["version"] == before["version"] < other["version"]


@pytest.mark.parametrize("status", ["scheduled", "failed"])
def test_a_campaign_that_does_not_run_is_served_with_basic_facts(app: Connection, status: str) -> None:
    campaign = _campaign(app, status)
    drain(app)
    document = _document(app, campaign)
    assert document is not None
    assert (document["status"], document["source"], document["totals"]) == (status, "none", None)
    assert document.keys() == FIELDS


def test_a_campaign_without_messages_has_zeros_and_rates_of_null(app: Connection) -> None:
    row = app.execute(
        "INSERT INTO campaigns (name, status) VALUES ('empty', 'draft') RETURNING id"
    ).fetchone()
    assert row is not None
    drain(app)
    document = _document(app, row[0])
    assert document is not None
    assert document["source"] == "computed"
    assert document["template_stats"] == []
    assert {document["totals"][rate] for rate in ("delivered_rate", "read_rate", "replied_rate")} == {None}
    assert document["totals"]["total"] == 0


def test_a_campaign_that_does_not_exist_has_no_document(app: Connection) -> None:
    assert _document(app, uuid.uuid4()) is None


def test_the_seeds_function_keeps_its_name_and_columns(app: Connection) -> None:
    campaign = _campaign(app)
    cursor = app.execute(
        "SELECT * FROM headrace.get_campaign_template_stats(p_campaign_id => %s)", [campaign]
    )
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    assert names == ["template_name", "total", "sent", "delivered", "read", "replied", "failed"]
    assert cursor.fetchall() == [("hello", 4, 3, 2, 1, 1, 1)]


def test_contacts_are_distributed_over_templates_assigned_and_queued(app: Connection) -> None:
    campaign = _campaign(app)
    app.execute(
        "INSERT INTO campaign_contacts (campaign_id, template_name) VALUES "
        "(%(c)s, 'hello'), (%(c)s, 'hello'), (%(c)s, 'bye'), (%(c)s, NULL)",
        {"c": campaign},
    )
    rows = app.execute(
        "SELECT * FROM headrace.campaign_contact_distribution(p_campaign_id => %s)", [campaign]
    ).fetchall()
    assert sorted(rows, key=str) == [("bye", 1, 0), ("hello", 2, 4), (None, 1, 0)]


def test_rows_from_before_the_installation_count_and_are_served_live_until_their_turn(
    app_database: str, settings: Settings
) -> None:
    app = psycopg.connect(app_database, autocommit=True)
    campaigns = [_campaign(app, rows=4), *(_campaign(app, rows=3) for _ in range(2))]
    done = migrate(app_database, settings)
    assert done.rebuilds == 3
    assert {(_document(app, campaign) or {})["source"] for campaign in campaigns} == {"live"}
    # One step of the queue, as if the worker were killed after it.
    app.execute("SELECT headrace.rebuild_step(1)")
    sources = [(_document(app, campaign) or {})["source"] for campaign in campaigns]
    assert sorted(sources) == ["computed", "live", "live"]
    # Meanwhile, traffic continues.
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('m2', 'read')")
    drain(app)
    for campaign in campaigns:
        document = _document(app, campaign)
        assert document is not None
        assert document["source"] == "computed"
        assert document["totals"]["read"] == 2


ROLES: dict[str, Callable[[uuid.UUID], list[tuple[str, bool]]]] = {
    "headrace_reader": lambda c: [
        (f"SELECT headrace.campaign_stats('{c}')", True),
        ("SELECT headrace.list_campaign_stats()", True),
        ("SELECT * FROM headrace.template_stats()", True),
        ("SELECT * FROM headrace.campaign_template_stats", True),
        ("SELECT * FROM headrace.campaign_template_stats_live", True),
        ("SELECT * FROM headrace.stream_lag", True),
        (f"SELECT headrace.rebuild_campaign_stats(ARRAY['{c}']::uuid[])", False),
        ("SELECT * FROM headrace.change_log", False),
        ("SELECT * FROM headrace.stg_send_queue()", False),
        ("DELETE FROM headrace.campaign_template_stats", False),
    ],
    "headrace_worker": lambda c: [
        ("SELECT * FROM headrace.stream_poll()", True),
        ("SELECT * FROM headrace.stream_step('campaign_stats', 0, 10)", True),
        ("SELECT headrace.stream_rebuild('campaign_stats')", True),
        (f"SELECT headrace.rebuild_campaign_stats(ARRAY['{c}']::uuid[])", True),
        ("INSERT INTO headrace.change_log (source, op) VALUES ('campaigns', 'T')", False),
        ("DELETE FROM public.send_queue", False),
    ],
}


@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_each_role_may_do_what_it_needs_and_no_more(app: Connection, role: str) -> None:
    campaign = _campaign(app)
    login = f"login_{uuid.uuid4().hex[:8]}"
    app.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(login)))
    try:
        cases = ROLES.get(
            role, lambda c: [(statement, False) for r in ROLES.values() for statement, _ in r(c)]
        )(campaign)
        if role in ROLES:
            app.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(login)))
        for statement, allowed in cases:
            with app.transaction(force_rollback=True):
                app.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(login)))
                if allowed:
                    app.execute(statement)
                else:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        app.execute(statement)
    finally:
        app.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


def test_a_stored_document_is_served_where_the_applications_columns_cannot_be_read(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        counted, _ = a_history(connection)
        drain(connection)
        before = connection.execute("SELECT headrace.campaign_stats(%s)", [counted]).fetchall()[0][0]
        new = insert(connection, "campaigns", name="new", status="running")
        connection.execute("ALTER TABLE campaigns RENAME name TO title")
        ((served,),) = connection.execute("SELECT headrace.campaign_stats(%s)", [counted]).fetchall()
        assert served["totals"] == before["totals"]
        assert served["template_stats"] == before["template_stats"]
        assert served["age_seconds"] >= before["age_seconds"]
        assert served["paused"] == (
            "column name of table campaigns is now called title: what reads it is paused;"
            " run: ALTER TABLE public.campaigns RENAME COLUMN title TO name;"
        )
        with pytest.raises(psycopg.Error, match="column"):
            connection.execute("SELECT headrace.campaign_stats(%s)", [new])
        connection.execute("ALTER TABLE campaigns RENAME title TO name")
        ((again,),) = connection.execute("SELECT headrace.campaign_stats(%s)", [counted]).fetchall()
        assert "paused" not in again
