"""What comes late for a frozen campaign: amended on record, or waiting where rows are gone."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from orchestration.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.lives import (
    LONG_AGO,
    NOW,
    PRUNED,
    SENT,
    Connection,
    a_campaign,
    amendments,
    document,
    frozen_campaign,
    held,
    numbers,
    operate,
    reply,
    report,
    set_status,
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
    recompute,
    series,
    stored,
    stored_medians,
    stored_series,
)
from tests.rows import insert

# --- amendments ----------------------------------------------------------------------------------------------------


def test_a_late_webhook_that_changes_numbers_amends_and_keeps_the_earlier_version(app: Connection) -> None:
    campaign = frozen_campaign(app)
    version, old_totals, old_templates = numbers(app, campaign)
    report(app, "c1", "read")
    drain(app)
    assert state(app, campaign) == "amended"
    assert document(app, campaign)["source"] == "frozen"
    assert totals(app, campaign, "delivered", "read") == (2, 2)
    assert document(app, campaign)["version"] == version + 1
    (record,) = amendments(app, campaign)
    assert (record["version"], record["totals"], record["template_stats"]) == (
        version,
        old_totals,
        old_templates,
    )
    changed = {
        (item["template_name"], item["counter"]): (item["from"], item["to"]) for item in record["changed"]
    }
    assert changed["t", "read"] == changed["*", "read"] == (1, 2)
    assert changed.keys() == {("t", "read"), ("*", "read"), ("*", "median_seconds_to_read")}
    assert record["why"]["reason"] == "late changes"
    assert record["why"]["messages"] == [
        str(value(app, "SELECT id FROM send_queue WHERE whatsapp_message_id = 'c1'"))
    ]
    assert record["why"]["source_rows_before"]["message_status_logs"] == 3
    assert record["why"]["source_rows"]["message_status_logs"] == 4
    assert held(app, campaign)["message_outcome"] == held(app, campaign)["campaign_latency"] == 0
    assert_all_agree(app)
    # Once more: from amended to amended.
    report(app, "c2", "delivered")
    drain(app)
    assert [item["version"] for item in amendments(app, campaign)] == [version, version + 1]
    assert (state(app, campaign), document(app, campaign)["version"]) == ("amended", version + 2)
    assert_all_agree(app)


def test_a_late_webhook_that_changes_no_number_changes_nothing_but_the_row_counts(app: Connection) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    report(app, "c0", "delivered")
    drain(app)
    assert document(app, campaign) == before
    assert (state(app, campaign), amendments(app, campaign)) == ("frozen", [])
    assert value(app, "SELECT source_rows -> 'message_status_logs' FROM headrace.campaign") == 4
    assert value(app, "SELECT late_messages IS NULL AND rebuild_requested_at IS NULL FROM headrace.campaign")


def test_a_late_webhook_of_an_earlier_time_moves_the_series_and_the_time_to_delivery(app: Connection) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    report(app, "c1", "sent", SENT - timedelta(hours=3))
    drain(app)
    assert_all_agree(app)
    assert totals(app, campaign, "sent", "delivered", "read") == (3, 2, 1)
    median = "median_seconds_to_delivered"
    assert totals(app, campaign, median)[0] > before["totals"][median]
    (record,) = amendments(app, campaign)
    assert {item["counter"] for item in record["changed"]} == {median}


def test_a_late_reply_amends(app: Connection) -> None:
    campaign = frozen_campaign(app)
    reply(app, "c phone 1", SENT + timedelta(days=6))
    drain(app)
    assert (state(app, campaign), totals(app, campaign, "replied")) == ("amended", (2,))
    (record,) = amendments(app, campaign)
    assert {item["counter"] for item in record["changed"]} == {"replied"}
    assert_all_agree(app)


def test_a_late_change_that_moves_nothing_but_the_series_amends_on_record(app: Connection) -> None:
    campaign = frozen_campaign(app)
    version, frozen_totals, _ = numbers(app, campaign)
    reply(app, "c phone 0", SENT + timedelta(hours=1))  # before the one that had come
    drain(app)
    assert (state(app, campaign), numbers(app, campaign)[:2]) == ("amended", (version + 1, frozen_totals))
    (record,) = amendments(app, campaign)
    assert record["version"] == version
    assert [(item["counter"], item["from"], item["to"]) for item in record["changed"]] == [
        ("replied", 0, 1),
        ("replied", 1, 0),
    ]
    assert [datetime.fromisoformat(item["hour"]) for item in record["changed"]] == [
        (SENT + timedelta(hours=hours)).replace(minute=0, second=0) for hours in (1, 2)
    ]
    assert_all_agree(app)


def test_a_reply_out_of_the_window_amends_nothing(app: Connection) -> None:
    campaign = frozen_campaign(app)
    reply(app, "c phone 1", NOW)
    drain(app)
    assert (state(app, campaign), amendments(app, campaign)) == ("frozen", [])


def test_a_newer_campaign_that_takes_a_reply_away_amends_the_frozen_one(app: Connection) -> None:
    campaign = frozen_campaign(app)
    newer = insert(app, "campaigns", status="running")
    insert(
        app, "send_queue", campaign_id=newer, user_phone="c phone 0", whatsapp_number_id="n", status="sent",
        sent_at=SENT + timedelta(hours=1),
    )  # fmt: skip
    drain(app)
    assert (state(app, campaign), totals(app, campaign, "replied")) == ("amended", (0,))
    assert totals(app, newer, "replied") == (1,)
    assert_all_agree(app)


def test_a_message_moved_into_a_frozen_campaign_amends_it_and_leaves_the_other(app: Connection) -> None:
    campaign, other = frozen_campaign(app), a_campaign(app, "other")
    app.execute("UPDATE send_queue SET campaign_id = %s WHERE whatsapp_message_id = 'other0'", [campaign])
    drain(app)
    assert (state(app, campaign), totals(app, campaign, "total", "read")) == ("amended", (4, 2))
    assert totals(app, other, "total", "read") == (2, 0)
    assert_all_agree(app)


def test_a_message_moved_out_of_a_frozen_campaign_counts_where_it_went_and_waits_where_it_was(
    app: Connection,
) -> None:
    campaign, other = frozen_campaign(app), a_campaign(app, "other")
    before = numbers(app, campaign)
    app.execute("UPDATE send_queue SET campaign_id = %s WHERE whatsapp_message_id = 'c0'", [other])
    drain(app)
    assert (state(app, campaign), numbers(app, campaign)) == ("frozen", before)
    assert totals(app, other, "total", "read") == (4, 2)
    assert waiting(app) == {campaign: 1}
    operate(app, "amend_campaigns", campaign, True)
    assert totals(app, campaign, "total", "read", "replied") == (2, 0, 0)
    assert_all_agree(app)


def test_a_worker_gathers_what_comes_late_to_a_large_campaign(app: Connection) -> None:
    """A small one is counted at once, and so is a large one on request, or when it was left alone for a while."""
    small, large = frozen_campaign(app, "small"), insert(app, "campaigns", name="large", status="running")
    app.execute(
        "INSERT INTO send_queue (campaign_id, user_phone, whatsapp_number_id, template_name, status, whatsapp_message_id, sent_at)"
        " SELECT %s, 'large ' || n, 'n', 't', 'sent', 'large' || n, %s FROM generate_series(0, 4999) n",
        [large, SENT],
    )
    set_status(app, large, "completed", LONG_AGO)
    assert state(app, large) == "frozen"
    report(app, "large1", "read")
    report(app, "small1", "read")
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 1000, false)")
    assert value(app, "SELECT headrace.rebuilds_pending(p_patient => true)") == 1
    assert value(app, "SELECT headrace.rebuilds_pending()") == 2
    assert value(app, "SELECT headrace.rebuild_step(p_patient => true)") == 1
    assert (state(app, small), state(app, large)) == ("amended", "frozen")
    waits = "SELECT rebuild_not_before - rebuilt_at FROM headrace.campaign WHERE campaign_id = %s"
    assert value(app, waits, large) == timedelta(seconds=1)
    # Time passes: what had been put off is due for anybody.
    app.execute("UPDATE headrace.campaign SET rebuild_not_before = clock_timestamp()")
    assert value(app, "SELECT headrace.rebuild_step(p_patient => true)") == 1
    assert (state(app, large), totals(app, large, "read")) == ("amended", (1,))
    report(app, "large2", "read")
    drain(app)
    assert totals(app, large, "read") == (2,), "on request it is counted at once"
    assert_all_agree(app)


def test_an_amendment_that_the_data_refused_is_tried_again_with_the_next_late_change(app: Connection) -> None:
    campaign = frozen_campaign(app)
    app.execute("ALTER TABLE headrace.campaign_stats_amendment ADD CONSTRAINT broken CHECK (false)")
    report(app, "c1", "read")
    drain(app)
    assert value(app, "SELECT rebuild_error FROM headrace.campaign") is not None
    assert value(app, "SELECT headrace.rebuilds_pending()") == 0
    app.execute("ALTER TABLE headrace.campaign_stats_amendment DROP CONSTRAINT broken")
    report(app, "c2", "read")
    drain(app)
    assert (state(app, campaign), totals(app, campaign, "read")) == ("amended", (3,))


# --- rows that are gone -----------------------------------------------------------------------------------------


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
    # A rebuild does not get round it.
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


def test_a_message_that_is_sent_again_takes_no_rows_away(app: Connection) -> None:
    """Its earlier reply is before it now, and nobody's: still there."""
    campaign = frozen_campaign(app)
    assert totals(app, campaign, "replied") == (1,)
    app.execute("UPDATE send_queue SET sent_at = %s WHERE whatsapp_message_id = 'c0'", [NOW])
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
    assert operate(app, "amend_campaigns", campaign, True) == 0  # nothing waits any more
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


# --- recounts ---------------------------------------------------------------------------------------------------


def test_a_rebuild_of_everything_leaves_frozen_campaigns_that_are_right_as_they_are(app: Connection) -> None:
    campaign = frozen_campaign(app)
    a_campaign(app, "live")
    before = document(app, campaign)
    assert value(app, "SELECT headrace.request_rebuild()") == 2
    drain(app)
    assert (document(app, campaign), amendments(app, campaign)) == (before, [])
    assert_all_agree(app)


def test_another_reply_window_amends_frozen_campaigns_on_record(app: Connection, database: str) -> None:
    campaign = frozen_campaign(app)
    version, old_totals, _ = numbers(app, campaign)
    window = timedelta(hours=1)
    migrate(database, Settings(reply_window=window))
    drain(app)
    # Fewer messages can be replies in it, and none is lost.
    assert (waiting(app), totals(app, campaign, "replied")) == ({}, (0,))
    (record,) = amendments(app, campaign)
    assert (record["version"], record["totals"]) == (version, old_totals)
    assert record["why"]["reason"] == "recount"
    assert stored(app) == recompute(app, window)
    migrate(database, Settings())
    drain(app)
    assert totals(app, campaign, "replied") == (1,)
    assert [item["version"] for item in amendments(app, campaign)] == [version, version + 1]
    assert_all_agree(app)
    app.execute("DELETE FROM messages")
    drain(app)
    assert waiting(app) == {campaign: 1}


@pytest.mark.parametrize(
    ("damage", "amended"),
    [
        ("SET checksum = 'other'", True),
        ("SET totals = totals || '{\"read\": 9}'", True),
        ("SET template_stats = '[]'", True),
        ("SET totals = totals || '{\"read\": 9}', frozen_at = NULL, state = 'live'", True),
        ("SET frozen_at = NULL", False),
        ("SET state = 'live'", False),
    ],
)
def test_a_rebuild_mends_a_frozen_document_whatever_is_wrong_with_it(
    app: Connection, damage: str, amended: bool
) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    app.execute(f"UPDATE headrace.campaign_computed_stats {damage}".encode())
    assert value(app, "SELECT agrees FROM headrace.document_agreement") is False
    operate(app, "rebuild_campaign_stats", campaign)
    assert value(app, "SELECT frozen AND agrees FROM headrace.document_agreement") is True
    assert state(app, campaign) == ("amended" if amended else "frozen")
    assert document(app, campaign)["totals"] == before["totals"]
    assert len(amendments(app, campaign)) == amended
    assert_all_agree(app)


def test_a_frozen_campaign_without_its_document_is_counted_anew_with_a_higher_version(
    app: Connection,
) -> None:
    campaign = frozen_campaign(app)
    version, frozen_totals, _ = numbers(app, campaign)
    app.execute("DELETE FROM headrace.campaign_computed_stats")
    assert document(app, campaign)["source"] == "live"
    operate(app, "rebuild_campaign_stats", campaign)
    assert state(app, campaign) == "frozen"
    assert numbers(app, campaign)[:2] == (version + 1, frozen_totals)
    assert series(outcomes(app)) == stored_series(app)


def test_a_decision_that_is_null_is_none(app: Connection) -> None:
    with pytest.raises(psycopg.errors.NullValueNotAllowed, match="p_accept is null"):
        operate(app, "amend_campaigns", uuid4(), None)


def test_an_amended_campaign_without_its_document_is_counted_anew_with_a_higher_version(
    app: Connection,
) -> None:
    campaign = frozen_campaign(app)
    report(app, "c1", "read")
    drain(app)
    version = document(app, campaign)["version"]
    app.execute("DELETE FROM headrace.campaign_computed_stats")
    operate(app, "rebuild_campaign_stats", campaign)
    assert document(app, campaign)["version"] == version + 1
