"""The states of a campaign: the pure function, how completion is noticed, what freezing keeps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from orchestration.campaign_stats.sensors import kept
from orchestration.dagster_kit.sensors import look
from orchestration.database.connections import engine
from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.lives import (
    LONG_AGO,
    NOW,
    SENT,
    WEEK,
    Connection,
    a_campaign,
    amendments,
    announced,
    document,
    held,
    numbers,
    operate,
    report,
    set_status,
    state,
    times,
    totals,
    value,
)
from tests.campaign_stats.oracle import (
    assert_all_agree,
    drain,
)
from tests.rows import insert
from tests.source_shapes import VARCHAR_AND_BIGINT

# --- the state machine ------------------------------------------------------------------------------------------


STATES = ("pending", "live", "settling", "frozen", "amended", "deleted")
STATUSES = (None, "", "draft", "scheduled", "running", "paused", "completed", "failed")
# Whether a campaign is frozen, what the source says about it, and the state that follows; None: the state stays.
FOLLOWS: dict[tuple[bool, str], str | None] = {
    (True, "gone"): None,
    (True, "completed"): None,
    (True, "as when it was frozen"): None,
    (True, "another status"): "live",
    (False, "gone"): "deleted",
    (False, "completed"): "settling",
    (False, "completed, and settled"): "frozen",
    (False, "as when it was frozen"): "live",
    (False, "another status"): "live",
}


def test_the_state_that_follows_is_the_tables_whatever_is_given(app: Connection) -> None:
    moments = {None: False, "-infinity": True, "2026-01-01": True, "2026-01-02": False, "infinity": False}
    given = list(itertools.product(STATES, STATUSES, (None, *STATUSES), moments))
    cursor = app.cursor()
    for before, status, frozen_status, settles_until in given:
        is_frozen = before in ("frozen", "amended")
        if status is None:
            source = "gone"
        elif status == "completed":
            settled = moments[settles_until] and not is_frozen
            source = "completed, and settled" if settled else "completed"
        else:
            source = "as when it was frozen" if status == frozen_status else "another status"
        row = cursor.execute(
            "SELECT headrace.lifecycle_state(%s, %s, %s, %s, '2026-01-01')",
            [before, status, frozen_status, settles_until],
        ).fetchone()
        assert row == (FOLLOWS[is_frozen, source] or before,), (before, status, frozen_status, settles_until)


# --- completion -------------------------------------------------------------------------------------------------


def test_a_completed_campaign_settles_for_the_window_from_when_the_source_says(app: Connection) -> None:
    campaign = a_campaign(app)
    completed = NOW - timedelta(days=6)
    set_status(app, campaign, "completed", completed)
    assert state(app, campaign) == "settling"
    assert times(app, campaign) == (completed, completed + WEEK)
    report(app, "c2", "read")
    drain(app)
    assert totals(app, campaign, "read") == (2,)
    assert document(app, campaign)["source"] == "computed"
    assert_all_agree(app)


def test_without_a_time_of_completion_it_settles_from_when_it_was_noticed(app: Connection) -> None:
    campaign = a_campaign(app)
    set_status(app, campaign, "completed")
    noticed, until = times(app, campaign)
    assert abs(noticed - datetime.now(UTC)) < timedelta(minutes=5)
    assert until == noticed + WEEK
    app.execute("UPDATE campaigns SET created_at = created_at - interval '1 day'")
    drain(app)
    operate(app, "rebuild_campaign_stats", campaign)
    assert times(app, campaign) == (noticed, until)


def test_an_application_without_times_of_completion_has_its_campaigns_settle_and_freeze(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url = new_database(None)
    with psycopg.connect(url, autocommit=True) as app:
        app.execute(VARCHAR_AND_BIGINT)
        migrate(url, settings)
        campaign = insert(app, "campaigns", status="running")
        insert(app, "send_queue", campaign_id=campaign, status="sent", whatsapp_message_id="w")
        drain(app)
        app.execute("UPDATE campaigns SET status = 'completed'")
        drain(app)
        assert state(app, campaign) == "settling"
        assert announced(app) == [campaign]
        app.execute(
            "UPDATE headrace.campaign SET completed_at = completed_at - %(week)s, settles_until = settles_until - %(week)s",
            {"week": WEEK},
        )
        drain(app)
        assert state(app, campaign) == "frozen"
        report(app, "w", "delivered")
        drain(app)
        assert state(app, campaign) == "amended"
        assert totals(app, campaign, "total", "sent", "delivered") == (1, 1, 1)


def test_a_settle_window_of_nothing_freezes_as_soon_as_it_is_completed(
    app: Connection, database: str
) -> None:
    migrate(database, Settings(settle_window=timedelta(0)))
    campaign = a_campaign(app)
    set_status(app, campaign, "completed")
    assert state(app, campaign) == "frozen"
    report(app, "c2", "delivered")
    drain(app)
    assert (state(app, campaign), len(amendments(app, campaign))) == ("amended", 1)


def test_another_settle_window_holds_for_campaigns_that_are_settling(app: Connection, database: str) -> None:
    campaign = a_campaign(app)
    set_status(app, campaign, "completed", NOW - timedelta(days=2))
    assert migrate(database, Settings(settle_window=timedelta(days=30))).rebuilds == 0
    assert times(app, campaign)[1] == NOW + timedelta(days=28)
    migrate(database, Settings(settle_window=timedelta(days=1)))
    drain(app)
    assert state(app, campaign) == "frozen"


@pytest.mark.parametrize("moment", ["infinity", "294276-12-31 UTC", "2199-01-01 UTC"])
def test_a_campaign_completed_in_the_future_settles_until_its_time_is_edited(
    app: Connection, moment: str
) -> None:
    campaign = a_campaign(app)
    set_status(app, campaign, "completed", moment)
    assert state(app, campaign) == "settling"
    assert value(app, "SELECT settles_until > '2199-01-01' FROM headrace.campaign") is True
    assert value(app, "SELECT count(*) FROM headrace.dead_letter") == 0
    app.execute("UPDATE campaigns SET completed_at = %s", [LONG_AGO])
    drain(app)
    assert state(app, campaign) == "frozen"
    frozen = numbers(app, campaign)
    app.execute("UPDATE campaigns SET completed_at = %s", [moment])
    drain(app)
    assert (state(app, campaign), numbers(app, campaign)) == ("frozen", frozen)


def test_a_settle_window_as_long_as_can_be_set_is_added_to_any_time_of_completion(
    app: Connection, database: str
) -> None:
    migrate(database, Settings(settle_window=timedelta(days=3_650_000)))
    campaign = a_campaign(app)
    for moment in ("-infinity", NOW, "infinity"):
        set_status(app, campaign, "running")
        set_status(app, campaign, "completed", moment)
        assert state(app, campaign) == ("frozen" if moment == "-infinity" else "settling")
    assert value(app, "SELECT count(*) FROM headrace.dead_letter") == 0


@pytest.mark.parametrize("announced_before", [True, False])
@pytest.mark.parametrize("moment", ["infinity", "2199-01-01 UTC"])
def test_a_time_of_completion_in_the_future_that_is_taken_back_does_not_hold_a_campaign_open(
    app: Connection, moment: str, announced_before: bool
) -> None:
    campaign = a_campaign(app)
    set_status(app, campaign, "completed", moment)
    if not announced_before:
        app.execute("UPDATE headrace.campaign SET announced_at = NULL")
    app.execute("UPDATE campaigns SET completed_at = NULL")
    drain(app)
    noticed, until = times(app, campaign)
    assert abs(noticed - datetime.now(UTC)) < timedelta(minutes=5)
    assert until == noticed + WEEK
    operate(app, "rebuild_campaign_stats", campaign)
    assert times(app, campaign) == (noticed, until)


def test_a_campaign_completed_before_all_time_is_frozen_at_once(app: Connection) -> None:
    campaign = a_campaign(app)
    set_status(app, campaign, "completed", "-infinity")
    assert state(app, campaign) == "frozen"


def test_a_completion_is_announced_once_and_again_after_it_was_taken_back(app: Connection) -> None:
    campaign = a_campaign(app)
    set_status(app, campaign, "completed", NOW)
    set_status(app, campaign, "completed", NOW - timedelta(hours=1))
    operate(app, "rebuild_campaign_stats", campaign)
    assert announced(app) == [campaign]
    set_status(app, campaign, "running")
    assert (state(app, campaign), times(app, campaign)) == ("live", (None, None))
    set_status(app, campaign, "completed", LONG_AGO)
    assert announced(app) == [campaign, campaign]
    # An operator's act is not a completion.
    operate(app, "reopen_campaigns", campaign)
    operate(app, "freeze_campaigns", campaign)
    assert announced(app) == [campaign, campaign]


def test_what_was_completed_before_headrace_came_is_frozen_and_no_news(
    app_database: str, settings: Settings
) -> None:
    with psycopg.connect(app_database, autocommit=True) as app:
        old = insert(app, "campaigns", status="completed", completed_at=LONG_AGO)
        young = insert(app, "campaigns", status="completed", completed_at=NOW)
        migrate(app_database, settings)
        drain(app)
        assert (state(app, old), state(app, young)) == ("frozen", "settling")
        assert announced(app) == []
        new = insert(app, "campaigns", status="completed", completed_at=NOW)
        drain(app)
        assert announced(app) == [new]


# Undoes migration 0006 and all later ones.
UNMADE = """
    DROP VIEW headrace.campaign_standing, headrace.document_agreement, headrace.document_faults;
    DROP INDEX headrace.campaign_rebuild_due, headrace.campaign_rebuild_failed, headrace.campaign_template_stats_key;
    CREATE INDEX campaign_rebuild_queue ON headrace.campaign (rebuild_requested_at) WHERE rebuild_requested_at IS NOT NULL;
    ALTER TABLE headrace.campaign DROP document_due_at;
    ALTER TABLE headrace.campaign_template_stats DROP template_md5;
    CREATE UNIQUE INDEX campaign_template_stats_key ON headrace.campaign_template_stats
        (campaign_id, md5(template_name)) NULLS NOT DISTINCT;
    ALTER TABLE headrace.stream DROP rebuild_pick, DROP rebuild_items, DROP rebuild_put_off, DROP rows_left,
        DROP domain, DROP rebuild_new, DROP on_setting, DROP unit;
    ALTER TABLE headrace.webhook_reject DROP sender, DROP notice;
    ALTER TABLE headrace.stream_cursor DROP window_left, DROP window_widest;
    DROP TABLE headrace.webhook_lock, headrace.source;
    DROP TYPE headrace.missing CASCADE;
    DROP FUNCTION headrace.source_problems(text[]);
    DROP TABLE headrace.campaign_hour, headrace.campaign_frozen_hours, headrace.campaign_latency, headrace.campaign_completion,
        headrace.campaign_stats_amendment, headrace.campaign_stats_pending_amendment CASCADE;
    ALTER TABLE headrace.campaign DROP completed_at, DROP announced_at, DROP reopened_at, DROP settles_until,
        DROP frozen_status, DROP source_rows, DROP late_messages, DROP last_version;
    ALTER TABLE headrace.message_outcome DROP sent_at, DROP delivered_at, DROP read_at, DROP replied_at;
    ALTER TABLE headrace.campaign_computed_stats DROP facts, DROP deleted_at;
    UPDATE headrace.campaign SET state = 'live';
    UPDATE headrace.campaign_computed_stats SET state = 'live', totals = totals - 'median_seconds_to_delivered' - 'median_seconds_to_read';
    UPDATE headrace.schema_version SET version_num = '0005';
    UPDATE headrace.installation SET value = 'older' WHERE name IN ('objects', 'definition');
    DELETE FROM headrace.installation WHERE name = 'settle_window_seconds';
"""


def test_campaigns_that_an_older_version_counted_are_counted_anew_and_their_completion_is_no_news(
    app: Connection, database: str, settings: Settings
) -> None:
    running = a_campaign(app, "running")
    old, young = (a_campaign(app, name, "completed", completed_at=NOW) for name in ("old", "young"))
    app.execute("UPDATE campaigns SET completed_at = %s WHERE id = %s", [LONG_AGO, old])
    app.execute("DELETE FROM headrace.change_log")  # the older version did not need it
    app.execute(UNMADE.encode())
    report(app, "old1", "read")  # a change that the older version had not applied yet
    migrate(database, settings)
    drain(app)
    assert [state(app, campaign) for campaign in (running, old, young)] == ["live", "frozen", "settling"]
    assert_all_agree(app)
    assert announced(app) == []
    set_status(app, running, "completed")
    assert announced(app) == [running]


@pytest.mark.parametrize("status", ["draft", "scheduled", "running", "paused", "failed"])
def test_a_campaign_that_is_not_completed_stays_live_however_old(app: Connection, status: str) -> None:
    campaign = a_campaign(app, status=status, created_at=NOW - timedelta(days=900), completed_at=LONG_AGO)
    assert (state(app, campaign), times(app, campaign)) == ("live", (None, None))
    report(app, "c2", "read")
    drain(app)
    assert_all_agree(app)


# --- freezing ---------------------------------------------------------------------------------------------------


def test_freezing_keeps_document_checksum_series_and_row_counts_and_drops_what_messages_were(
    app: Connection,
) -> None:
    campaign = a_campaign(app)
    other = a_campaign(app, "other")
    set_status(app, campaign, "completed", NOW)
    before, kept = document(app, campaign), held(app, campaign)
    of_campaign = "FROM headrace.campaign_computed_stats WHERE campaign_id = %s"
    stored_as = f"SELECT (template_stats, totals, checksum, version, computed_at)::text {of_campaign}"
    row = value(app, stored_as, campaign)
    assert min(kept.values()) > 0
    app.execute("UPDATE campaigns SET completed_at = %s WHERE id = %s", [LONG_AGO, campaign])
    drain(app)
    after = document(app, campaign)
    assert value(app, stored_as, campaign) == row
    assert value(app, f"SELECT checksum = md5(template_stats::text || totals::text) {of_campaign}", campaign)
    assert (after["source"], after["state"]) == ("frozen", "frozen")
    assert datetime.fromisoformat(after["frozen_at"]) > NOW
    same = before.keys() - {"source", "state", "frozen_at", "completed_at"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert held(app, campaign) == {**kept, "message_outcome": 0, "campaign_latency": 0}
    assert min(held(app, other).values()) > 0
    assert value(app, "SELECT source_rows FROM headrace.campaign WHERE campaign_id = %s", campaign) == {
        "send_queue": 3,
        "message_status_logs": 3,
        "messages": 1,
        "messages_from": SENT.timestamp(),
        "messages_until": (SENT + WEEK).timestamp(),
    }
    assert_all_agree(app)


def test_campaigns_that_are_due_to_be_frozen_are_work_for_whoever_catches_up(
    app: Connection, database: str
) -> None:
    created = NOW - timedelta(days=30)
    campaign = a_campaign(app, created_at=created)
    set_status(app, campaign, "completed", NOW)

    def due() -> tuple[int, Any]:
        application = engine(database)
        with application.connect() as connection:
            seen = look(connection, kept)
        application.dispose()
        assert isinstance(application, sa.Engine)
        assert seen is not None
        return seen.rebuilds, seen.rebuild_days

    assert due() == (0, None)
    app.execute("UPDATE headrace.campaign SET settles_until = now()")
    assert due() == (1, (created.date(), created.date()))
    assert value(app, "SELECT headrace.rebuilds_pending()") == 1
