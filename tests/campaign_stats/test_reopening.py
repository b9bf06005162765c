"""Frozen campaigns that become live again, by the application or by an operator, and campaigns that are deleted and come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from tests.campaign_stats.lives import (
    LONG_AGO,
    NOW,
    PRUNED,
    WEEK,
    Connection,
    a_campaign,
    amendments,
    announced,
    document,
    frozen_campaign,
    held,
    numbers,
    operate,
    report,
    set_status,
    state,
    times,
    totals,
    value,
    waiting,
)
from tests.campaign_stats.oracle import (
    assert_all_agree,
    drain,
)
from tests.rows import insert

# --- reopening --------------------------------------------------------------------------------------------------


def test_a_campaign_that_the_application_reopens_is_live_and_freezes_again_with_a_higher_version(
    app: Connection,
) -> None:
    campaign = frozen_campaign(app)
    version, frozen_totals, _ = numbers(app, campaign)
    set_status(app, campaign, "running")
    assert (state(app, campaign), document(app, campaign)["source"]) == ("live", "computed")
    assert document(app, campaign)["frozen_at"] is None
    (record,) = amendments(app, campaign)
    assert (record["version"], record["totals"], record["changed"]) == (version, frozen_totals, [])
    assert (record["why"]["reason"], record["why"]["status"]) == ("reopened", "running")
    assert held(app, campaign)["message_outcome"] == 3
    report(app, "c2", "read")
    drain(app)
    assert_all_agree(app)
    set_status(app, campaign, "completed", LONG_AGO)
    assert state(app, campaign) == "frozen"
    assert numbers(app, campaign)[0] == version + 1
    assert len(amendments(app, campaign)) == 1
    assert_all_agree(app)


def test_a_campaign_reopened_by_hand_settles_once_more_for_the_whole_window(app: Connection) -> None:
    campaign = frozen_campaign(app)
    assert operate(app, "reopen_campaigns", campaign) == 1
    assert operate(app, "reopen_campaigns", campaign) == 0
    assert state(app, campaign) == "settling"
    completed, until = times(app, campaign)
    assert completed == LONG_AGO
    assert timedelta(days=6, hours=23) < until - datetime.now(UTC) <= WEEK
    assert amendments(app, campaign)[0]["why"]["reason"] == "reopened by hand"
    report(app, "c2", "read")
    app.execute("UPDATE campaigns SET completed_at = %s", [LONG_AGO - timedelta(days=1)])
    drain(app)
    assert state(app, campaign) == "settling"
    assert totals(app, campaign, "read") == (2,)
    app.execute("UPDATE headrace.campaign SET reopened_at = reopened_at - %s, settles_until = now()", [WEEK])
    drain(app)
    assert state(app, campaign) == "frozen"
    assert_all_agree(app)


def test_a_campaign_without_all_its_rows_is_reopened_only_where_that_is_accepted(app: Connection) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    app.execute(PRUNED["message_status_logs"].encode())
    drain(app)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=f"campaign {campaign} has fewer"):
        operate(app, "reopen_campaigns", campaign)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="has fewer"):
        operate(app, "reopen_campaigns", campaign, None)  # null accepts nothing
    assert (document(app, campaign), waiting(app)) == (before, {campaign: 1})
    set_status(app, campaign, "running")  # the application's status alone does not do it either
    assert numbers(app, campaign) == (before["version"], before["totals"], before["template_stats"])
    assert state(app, campaign) == "frozen"
    operate(app, "reopen_campaigns", campaign, True)
    assert (state(app, campaign), waiting(app)) == ("live", {})
    assert amendments(app, campaign)[0]["why"]["fewer_rows_accepted"] is True
    assert_all_agree(app)


def test_an_accepted_amendment_of_a_campaign_that_was_reopened_meanwhile_makes_it_live(
    app: Connection,
) -> None:
    campaign = frozen_campaign(app)
    app.execute(PRUNED["send_queue"].encode())
    set_status(app, campaign, "paused")
    assert waiting(app) == {campaign: 1}
    operate(app, "amend_campaigns", campaign, True)
    assert (state(app, campaign), waiting(app)) == ("live", {})
    report(app, "c2", "read")
    drain(app)
    assert_all_agree(app)


def test_a_running_campaign_that_is_frozen_by_hand_stays_so_until_its_status_changes(app: Connection) -> None:
    campaign = a_campaign(app)
    assert operate(app, "freeze_campaigns", campaign) == 1
    assert operate(app, "freeze_campaigns", campaign) == 0
    assert state(app, campaign) == "frozen"
    app.execute("UPDATE campaigns SET created_at = created_at - interval '1 hour'")
    report(app, "c2", "delivered")
    drain(app)
    assert state(app, campaign) == "amended"
    set_status(app, campaign, "completed", NOW)
    assert (state(app, campaign), announced(app)) == ("amended", [campaign])
    set_status(app, campaign, "paused")
    assert state(app, campaign) == "live"
    assert_all_agree(app)


def test_freezing_or_reopening_what_is_not_there_is_refused_by_its_id(app: Connection) -> None:
    nobody = UUID(int=7)
    for function in ("freeze_campaigns", "reopen_campaigns"):
        with pytest.raises(psycopg.errors.NoDataFound, match=f"there is no campaign {nobody}"):
            operate(app, function, nobody)
    assert app.execute("SELECT FROM headrace.campaign").fetchall() == []


# --- deleting ---------------------------------------------------------------------------------------------------


def test_a_campaign_deleted_before_it_was_frozen_is_gone_and_comes_back_with_a_higher_version(
    app: Connection,
) -> None:
    campaign = a_campaign(app)
    version = document(app, campaign)["version"]
    app.execute("DELETE FROM campaigns")
    drain(app)
    assert state(app, campaign) == "deleted"
    assert value(app, "SELECT headrace.campaign_stats(%s)", campaign) is None
    assert set(held(app, campaign).values()) == {0}
    insert(app, "campaigns", id=campaign, status="running")
    drain(app)
    assert state(app, campaign) == "live"
    assert document(app, campaign)["version"] > version
    assert_all_agree(app)


def test_a_campaign_that_is_back_before_it_was_removed_is_served_in_the_state_it_is_in_now(
    app: Connection,
) -> None:
    campaign = a_campaign(app)
    set_status(app, campaign, "completed", NOW)
    app.execute("DELETE FROM campaigns")
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 100)")
    insert(app, "campaigns", id=campaign, status="running")
    drain(app)
    assert (state(app, campaign), document(app, campaign)["state"]) == ("live", "live")
    assert_all_agree(app)


def test_a_campaign_deleted_after_it_was_frozen_is_served_with_when_it_was_deleted(app: Connection) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    app.execute("DELETE FROM campaigns")
    drain(app)
    found = document(app, campaign)
    assert datetime.fromisoformat(found["deleted_at"]) > NOW
    assert found == {**before, "deleted_at": found["deleted_at"]}
    assert (waiting(app), amendments(app, campaign)) == ({}, [])
    operate(app, "rebuild_campaign_stats", campaign)
    assert document(app, campaign) == found


def test_a_frozen_campaign_that_comes_back_completed_is_frozen_still_and_waits_for_its_rows(
    app: Connection,
) -> None:
    campaign = frozen_campaign(app)
    before = numbers(app, campaign)
    app.execute("DELETE FROM campaigns")  # and, by the foreign key, its messages
    drain(app)
    insert(app, "campaigns", id=campaign, name="again", status="completed", completed_at=NOW)
    drain(app)
    found = document(app, campaign)
    assert (found["name"], found["deleted_at"], found["state"]) == ("again", None, "frozen")
    assert numbers(app, campaign) == before
    assert waiting(app) == {campaign: 1}


def test_a_frozen_campaign_that_comes_back_running_with_all_its_rows_is_live(app: Connection) -> None:
    app.execute("ALTER TABLE send_queue DROP CONSTRAINT send_queue_campaign_id_fkey")
    campaign = frozen_campaign(app)
    version, _, _ = numbers(app, campaign)
    app.execute("DELETE FROM campaigns")
    drain(app)
    insert(app, "campaigns", id=campaign, status="running")
    drain(app)
    assert state(app, campaign) == "live"
    assert document(app, campaign)["deleted_at"] is None
    assert [item["version"] for item in amendments(app, campaign)] == [version]
    assert document(app, campaign)["version"] >= version
    assert_all_agree(app)


@pytest.mark.parametrize("status", ["completed", "running"])
def test_a_campaign_that_takes_the_id_of_a_deleted_frozen_one_is_served_as_being_there(
    app: Connection, status: str
) -> None:
    campaign = frozen_campaign(app)
    app.execute("DELETE FROM campaigns")
    drain(app)
    insert(app, "campaigns", status=status, name="another")
    drain(app)
    app.execute("UPDATE campaigns SET id = %s", [campaign])
    drain(app)
    found = document(app, campaign)
    assert (found["name"], found["deleted_at"]) == ("another", None)
    assert waiting(app) == {campaign: 1}  # its messages are gone
