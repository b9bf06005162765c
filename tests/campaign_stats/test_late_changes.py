"""Late changes of a frozen campaign: it is amended on record, or waits for a decision if rows are gone."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.lives import (
    LONG_AGO,
    NOW,
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
    drain,
    outcomes,
    recompute,
    series,
    stored,
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
    """A small campaign is counted at once, and so is a large one on request, or after a while without changes."""
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
    # Time passes: the postponed campaign is now due for a patient worker too.
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
    # With the shorter window fewer messages count as replies, but no row is lost.
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
