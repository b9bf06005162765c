"""Serving while the application's columns cannot be read: the stored document with the reason, or else the reason as an error."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from orchestration.campaign_stats.reader import CampaignStatsReader
from tests.campaign_stats.lives import Connection, a_campaign, frozen_campaign, value
from tests.commands import a_sentence, run
from tests.rows import insert

# What the application did to campaigns, with the sentence that follows, and the name that is still served for a live campaign.
ALTERED = {
    "ALTER TABLE campaigns RENAME name TO title": (
        "column name of table campaigns is now called title",
        None,
    ),
    "ALTER TABLE campaigns DROP COLUMN completed_at": (
        "column completed_at of table campaigns is gone",
        "live",
    ),
    "ALTER TABLE campaigns DROP COLUMN user_id": ("column user_id of table campaigns is gone", "live"),
    "ALTER TABLE campaigns ALTER status DROP DEFAULT, DROP CONSTRAINT campaigns_status_check,"
    " ALTER status TYPE integer USING 1": (
        "column status of table campaigns was text and is integer now",
        "live",
    ),
    "ALTER TABLE campaigns RENAME id TO identity": (
        "column id of table campaigns is now called identity",
        None,
    ),
    "ALTER TABLE campaigns RENAME created_at TO made": (
        "column created_at of table campaigns is now called made",
        "live",
    ),
    "ALTER TABLE campaigns RENAME TO mailings": ("table campaigns is now called mailings", None),
    "DROP TABLE campaigns CASCADE": ("table campaigns is gone", None),
}
LISTED = ("name", "completed_at", "user_id", "status")
NEVER_COUNTED = "SELECT headrace.campaign_stats(%s)"


@pytest.fixture
def campaigns(app: Connection) -> dict[str, UUID]:
    """Three campaigns: one frozen, one live, and one that the stream has not counted yet."""
    found = {"frozen": frozen_campaign(app, "frozen"), "live": a_campaign(app, "live")}
    found["new"] = insert(app, "campaigns", name="new", status="running")
    return found


def refused(app: Connection, statement: str, *parameters: object) -> str:
    with pytest.raises(psycopg.Error) as caught:
        app.execute(statement.encode(), parameters)
    assert caught.value.sqlstate == "HR001"
    return str(caught.value.diag.message_primary)


@pytest.mark.parametrize("statement", ALTERED)
def test_a_stored_document_is_served_with_the_reason_and_where_there_is_none_the_reason_is_the_error(
    app: Connection, campaigns: dict[str, UUID], statement: str
) -> None:
    sentence, name = ALTERED[statement]
    before = {
        state: value(app, "SELECT headrace.campaign_stats(%s)", campaigns[state])
        for state in ("frozen", "live")
    }
    assert not any("paused" in document for document in before.values())
    app.execute(statement.encode())
    for state, document in before.items():
        served = value(app, "SELECT headrace.campaign_stats(%s)", campaigns[state])
        assert served.pop("paused").startswith(f"{sentence}: what reads it is paused; run: ")
        assert served["age_seconds"] >= document["age_seconds"]
        for key in ("totals", "template_stats", "version", "state", "source", "computed_at", "frozen_at"):
            assert served[key] == document[key]
        # A frozen document keeps its campaign's name, whatever happened to the column.
        assert served["name"] == ("frozen" if state == "frozen" else name)
    assert refused(app, NEVER_COUNTED, campaigns["new"]).startswith(sentence)


@pytest.mark.parametrize("statement", ALTERED)
def test_a_page_is_served_as_long_as_its_order_can_be_told(
    app: Connection, campaigns: dict[str, UUID], statement: str
) -> None:
    sentence, _ = ALTERED[statement]
    before = value(app, "SELECT headrace.list_campaign_stats()")
    assert "paused" not in before
    app.execute(statement.encode())
    if not any(f"column {column} " in sentence for column in LISTED):
        assert refused(app, "SELECT headrace.list_campaign_stats()").startswith(sentence)
        return
    page = value(app, "SELECT headrace.list_campaign_stats()")
    assert page["paused"].startswith(sentence)
    assert [d["campaign_id"] for d in page["campaigns"]] == [d["campaign_id"] for d in before["campaigns"]]
    assert [d["totals"] for d in page["campaigns"]] == [d["totals"] for d in before["campaigns"]]
    assert {d["paused"] for d in page["campaigns"]} == {page["paused"]}
    first = value(app, "SELECT headrace.list_campaign_stats(p_limit => 2)")
    rest = value(app, "SELECT headrace.list_campaign_stats(p_cursor => %s)", first["next_cursor"])
    both = [d["campaign_id"] for d in first["campaigns"] + rest["campaigns"]]
    assert both == [d["campaign_id"] for d in page["campaigns"]]


def test_a_list_whose_plan_a_session_has_kept_sees_the_alteration_too(
    app: Connection, campaigns: dict[str, UUID]
) -> None:
    page = "SELECT headrace.list_campaign_stats()"
    for _ in range(7):
        assert "paused" not in value(app, page)
    app.execute("ALTER TABLE campaigns RENAME name TO title")
    assert "column name of table campaigns is now called title" in value(app, page)["paused"]
    app.execute("ALTER TABLE campaigns RENAME title TO name")
    assert "paused" not in value(app, page)


def test_a_users_list_is_refused_where_the_user_cannot_be_told(
    app: Connection, campaigns: dict[str, UUID]
) -> None:
    app.execute("ALTER TABLE campaigns RENAME user_id TO owner")
    assert "column user_id of table campaigns is now called owner" in refused(
        app, "SELECT headrace.list_campaign_stats(%s)", uuid4()
    )


@pytest.mark.parametrize(
    "asked",
    [
        "SELECT * FROM headrace.template_stats()",
        "SELECT * FROM headrace.get_campaign_template_stats(gen_random_uuid())",
        "SELECT * FROM headrace.campaign_template_stats_live",
        "SELECT * FROM headrace.campaigns_created()",
        "SELECT * FROM headrace.campaigns_named('{}')",
    ],
)
def test_what_counts_or_adds_up_says_which_column_and_what_to_run(
    app: Connection, campaigns: dict[str, UUID], asked: str
) -> None:
    app.execute("ALTER TABLE campaigns RENAME name TO title")
    assert refused(app, asked) == (
        "column name of table campaigns is now called title: what reads it is paused; "
        "run: ALTER TABLE public.campaigns RENAME COLUMN title TO name;"
    )


def test_a_campaign_without_a_document_needs_the_other_tables_and_one_with_a_document_does_not(
    app: Connection, campaigns: dict[str, UUID]
) -> None:
    before = value(app, "SELECT headrace.campaign_stats(%s)", campaigns["live"])
    app.execute("ALTER TABLE send_queue RENAME user_phone TO phone")
    served = value(app, "SELECT headrace.campaign_stats(%s)", campaigns["live"])
    assert (served["totals"], "paused" in served) == (before["totals"], False)
    sentence = "column user_phone of table send_queue is now called phone"
    assert refused(app, NEVER_COUNTED, campaigns["new"]).startswith(sentence)
    assert refused(app, "SELECT * FROM headrace.campaign_contact_distribution(%s)", campaigns["live"])


def test_a_table_that_is_not_noted_is_named_by_the_error_itself(
    app: Connection, campaigns: dict[str, UUID]
) -> None:
    app.execute("ALTER TABLE campaign_contacts DROP COLUMN template_name")
    said = refused(app, "SELECT * FROM headrace.campaign_contact_distribution(%s)", campaigns["live"])
    assert "template_name does not exist" in said
    assert said.endswith("headrace migrate")


def test_once_the_column_is_back_nothing_is_said_of_it(app: Connection, campaigns: dict[str, UUID]) -> None:
    app.execute("ALTER TABLE campaigns RENAME name TO title")
    assert "paused" in value(app, "SELECT headrace.campaign_stats(%s)", campaigns["live"])
    app.execute("ALTER TABLE campaigns RENAME title TO name")
    assert "paused" not in value(app, "SELECT headrace.campaign_stats(%s)", campaigns["live"])
    assert "paused" not in value(app, "SELECT headrace.list_campaign_stats()")


def test_a_reader_keeps_a_frozen_document_with_a_reason_no_longer_than_a_live_one(
    database: str, app: Connection, campaigns: dict[str, UUID]
) -> None:
    now = 0.0
    reader = CampaignStatsReader(
        lambda: psycopg.connect(database), frozen_seconds=1000, refresh_seconds=5, clock=lambda: now
    )
    app.execute("ALTER TABLE campaigns RENAME name TO title")
    paused: dict[str, Any] | None = reader.get(campaigns["frozen"])
    assert paused is not None
    assert "paused" in paused
    app.execute("ALTER TABLE campaigns RENAME title TO name")
    now = 6.0
    again = reader.get(campaigns["frozen"])
    assert again is not None
    assert "paused" not in again


def test_an_error_of_the_moment_is_not_taken_for_an_altered_column(
    database: str, app: Connection, campaigns: dict[str, UUID]
) -> None:
    app.execute("ALTER TABLE send_queue RENAME user_phone TO phone")
    with psycopg.connect(database) as other:
        other.execute(sql.SQL("LOCK TABLE campaigns IN ACCESS EXCLUSIVE MODE"))
        app.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            app.execute("SELECT headrace.campaign_stats(%s)", [campaigns["live"]])


def test_the_command_shows_what_is_stored_and_why_it_gets_older(
    database: str, app: Connection, campaigns: dict[str, UUID]
) -> None:
    app.execute("ALTER TABLE campaigns RENAME name TO title")
    sentence = "column name of table campaigns is now called title: what reads it is paused"
    shown = run("stats", str(campaigns["live"]), HEADRACE_DATABASE_URL=database)
    assert sentence in shown.output
    told = run("stats", str(campaigns["live"]), "--json", HEADRACE_DATABASE_URL=database)
    assert json.loads(told.stdout)["paused"].startswith(sentence)
    assert sentence in run("stats", HEADRACE_DATABASE_URL=database).stderr
    failed = run("stats", str(campaigns["new"]), HEADRACE_DATABASE_URL=database)
    assert sentence in a_sentence(failed)
