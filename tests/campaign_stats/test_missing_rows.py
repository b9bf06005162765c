"""Frozen campaigns that have lost source rows: late changes then wait for a decision."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.campaign_stats.lives import (
    NOW,
    PRUNED,
    SENT,
    Connection,
    a_campaign,
    amendments,
    document,
    frozen_campaign,
    numbers,
    operate,
    report,
    state,
    totals,
    value,
    waiting,
)
from tests.campaign_stats.oracle import (
    assert_all_agree,
    count,
    drain,
    medians,
    outcomes,
    stored,
    stored_medians,
    stored_series,
)
from tests.rows import insert


@pytest.mark.parametrize("table", PRUNED)
def test_rows_that_are_pruned_change_no_frozen_number_until_an_operator_accepts_it(
    app: Connection, table: str
) -> None:
    campaign = frozen_campaign(app)
    before, hours = document(app, campaign), stored_series(app)
    app.execute(PRUNED[table].encode())
    drain(app)
    assert waiting(app) == {campaign: 1}
    assert (document(app, campaign), stored_series(app)) == (before, hours)
    then, now = app.execute(
        "SELECT source_rows_then, source_rows_now FROM headrace.campaign_stats_pending_amendment"
    ).fetchall()[0]
    assert now[table] < then[table]
    # A rebuild does not avoid the decision.
    operate(app, "rebuild_campaign_stats", campaign)
    assert waiting(app) == {campaign: 2}
    assert document(app, campaign) == before
    assert operate(app, "amend_campaigns", campaign, True) == 1
    assert waiting(app) == {}
    assert (state(app, campaign), document(app, campaign)["version"]) == ("amended", before["version"] + 1)
    (record,) = amendments(app, campaign)
    assert record["totals"] == before["totals"]
    assert record["why"]["fewer_rows_accepted"] is True
    assert_all_agree(app)


@pytest.mark.parametrize("again", ["c0", "c%"], ids=["one", "all"])
def test_a_message_that_is_sent_again_takes_no_rows_away(app: Connection, again: str) -> None:
    """Its reply now comes before it and belongs to no message, but the row is still there."""
    campaign = frozen_campaign(app)
    assert totals(app, campaign, "replied") == (1,)
    app.execute("UPDATE send_queue SET sent_at = %s WHERE whatsapp_message_id LIKE %s", [NOW, again])
    drain(app)
    assert waiting(app) == {}
    assert (state(app, campaign), totals(app, campaign, "replied")) == ("amended", (0,))


@pytest.mark.parametrize("table", PRUNED)
def test_an_amendment_that_is_given_up_leaves_the_numbers_and_the_next_late_change_waits_again(
    app: Connection, table: str
) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    app.execute(PRUNED[table].encode())
    drain(app)
    assert operate(app, "amend_campaigns", campaign, False) == 1
    assert operate(app, "amend_campaigns", campaign, True) == 0  # nothing is waiting any more
    assert (waiting(app), document(app, campaign), amendments(app, campaign)) == ({}, before, [])
    app.execute("UPDATE send_queue SET template_name = 'u' WHERE whatsapp_message_id = 'c1'")
    drain(app)
    assert waiting(app) == {campaign: 1}
    assert document(app, campaign) == before


def test_a_late_change_after_the_rows_are_restored_is_counted_and_nothing_waits(app: Connection) -> None:
    campaign = frozen_campaign(app)
    app.execute(PRUNED["message_status_logs"].encode())
    drain(app)
    report(app, "c0", "read", SENT + timedelta(minutes=1))
    report(app, "c0", "delivered", SENT + timedelta(minutes=2))
    report(app, "c1", "read")
    drain(app)
    assert (waiting(app), totals(app, campaign, "read")) == ({}, (2,))
    assert_all_agree(app)


def test_what_waits_is_accepted_of_a_campaign_without_a_status_too(app: Connection) -> None:
    app.execute("ALTER TABLE campaigns ALTER status DROP NOT NULL")
    campaign = a_campaign(app)
    app.execute("UPDATE campaigns SET status = NULL")
    operate(app, "freeze_campaigns", campaign)
    app.execute(PRUNED["message_status_logs"].encode())
    drain(app)
    assert operate(app, "amend_campaigns", campaign, True) == 1
    assert (state(app, campaign), totals(app, campaign, "read")) == ("amended", (0,))
    assert_all_agree(app)


def test_what_waits_goes_with_the_campaign(app: Connection) -> None:
    campaign = frozen_campaign(app)
    app.execute(PRUNED["message_status_logs"].encode())
    drain(app)
    assert waiting(app) == {campaign: 1}
    app.execute("DELETE FROM campaigns")
    drain(app)
    assert waiting(app) == {}


def test_late_changes_are_counted_while_an_amendment_waits_and_applied_when_it_is_accepted(
    app: Connection,
) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    app.execute(PRUNED["message_status_logs"].encode())
    drain(app)
    report(app, "c2", "read")
    drain(app)
    assert (waiting(app), document(app, campaign)) == ({campaign: 2}, before)
    operate(app, "amend_campaigns", campaign, True)
    assert totals(app, campaign, "delivered", "read") == (2, 1)
    assert_all_agree(app)


def test_what_the_archive_takes_away_is_no_late_change(app: Connection) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    with app.transaction():
        app.execute("SET LOCAL headrace.cause = 'headrace.archive'")
        for table in ("message_status_logs", "messages", "send_queue"):
            app.execute(f"DELETE FROM {table}")
    drain(app)
    assert (waiting(app), document(app, campaign), amendments(app, campaign)) == ({}, before, [])
    assert value(app, "SELECT rebuild_requested_at IS NULL FROM headrace.campaign")


@pytest.mark.parametrize("table", PRUNED)
def test_a_part_that_the_archive_takes_away_is_no_late_change_and_what_comes_with_it_is(
    app: Connection, table: str
) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    with app.transaction():
        app.execute("SET LOCAL headrace.cause = 'headrace.archive'")
        app.execute(PRUNED[table].encode())
    drain(app)
    assert (waiting(app), document(app, campaign)) == ({}, before)
    with app.transaction():
        app.execute("SET LOCAL headrace.cause = 'headrace.archive'")
        app.execute("DELETE FROM send_queue WHERE whatsapp_message_id = 'c2'")
    report(app, "c1", "read")
    drain(app)
    assert waiting(app) == {campaign: 1}
    assert value(app, "SELECT why -> 'messages' FROM headrace.campaign_stats_pending_amendment") == [
        str(value(app, "SELECT id FROM send_queue WHERE whatsapp_message_id = 'c1'"))
    ]


@pytest.mark.parametrize(
    ("write", "changed"),
    [
        ("INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('c2', 'read')", "read"),
        ("UPDATE message_status_logs SET status = 'read' WHERE whatsapp_message_id = 'c1'", "read"),
        ("UPDATE send_queue SET status = 'failed' WHERE whatsapp_message_id = 'c2'", "failed"),
        (
            "INSERT INTO send_queue (campaign_id, template_name, status) SELECT id, 't', 'sent' FROM campaigns",
            "total",
        ),
        (
            "UPDATE send_queue SET campaign_id = (SELECT id FROM campaigns WHERE name = 'other')"
            " WHERE whatsapp_message_id = 'c2'",
            "total",
        ),
        (
            "INSERT INTO messages (user_phone, whatsapp_number_id, direction, created_at)"
            " SELECT user_phone, whatsapp_number_id, 'incoming', sent_at + interval '1 hour' FROM send_queue"
            " WHERE whatsapp_message_id = 'c2'",
            "replied",
        ),
    ],
)
def test_the_archive_takes_away_and_what_else_is_written_in_its_name_is_late_like_any_other_change(
    app: Connection, write: str, changed: str
) -> None:
    campaign = frozen_campaign(app)
    insert(app, "campaigns", name="other", status="draft")
    drain(app)
    before = totals(app, campaign, changed)
    with app.transaction():
        app.execute("SET LOCAL headrace.cause = 'headrace.archive'")
        app.execute(write.encode())
    drain(app)
    if waiting(app):  # a row that left for another campaign is missing here
        operate(app, "amend_campaigns", campaign, True)
        drain(app)
    assert totals(app, campaign, changed) != before
    assert len(amendments(app, campaign)) == 1
    assert_all_agree(app)


@pytest.mark.parametrize("table", ["message_status_logs", "messages", "send_queue"])
def test_a_truncated_table_empties_what_is_live_and_has_what_is_frozen_wait(
    app: Connection, table: str
) -> None:
    campaign, live = frozen_campaign(app), a_campaign(app, "live")
    before = document(app, campaign)
    app.execute(f"TRUNCATE {table}")
    drain(app)
    assert waiting(app) == {campaign: 1}
    assert document(app, campaign) == before
    found = outcomes(app)
    assert {key: row for key, row in stored(app).items() if key[0] == live} == {
        key: row for key, row in count(found).items() if key[0] == live
    }
    assert stored_medians(app).get(live) == medians(found).get(live)


def test_a_truncated_table_of_campaigns_leaves_the_frozen_ones_as_deleted(app: Connection) -> None:
    campaign, live = frozen_campaign(app), a_campaign(app, "live")
    before = numbers(app, campaign)
    app.execute("TRUNCATE campaigns CASCADE")
    drain(app)
    assert numbers(app, campaign) == before
    assert document(app, campaign)["deleted_at"] is not None
    assert value(app, "SELECT headrace.campaign_stats(%s)", live) is None
    assert (state(app, campaign), state(app, live)) == ("frozen", "deleted")


def test_a_decision_that_is_null_is_none(app: Connection) -> None:
    with pytest.raises(psycopg.errors.NullValueNotAllowed, match="p_accept is null"):
        operate(app, "amend_campaigns", uuid4(), None)
