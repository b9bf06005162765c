"""Every transition of a campaign's life: by the pure function, and end to end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa

from orchestration.campaign_stats.progress import look
from orchestration.database import engine
from orchestration.migrate import migrate
from orchestration.settings import Settings
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
from tests.engine.source_shapes import VARCHAR_AND_BIGINT
from tests.rows import insert

Connection = psycopg.Connection[Any]
NOW = datetime.now(UTC).replace(microsecond=0)
SENT = NOW - timedelta(days=20)
LONG_AGO = NOW - timedelta(days=8)
WEEK = timedelta(days=7)


@pytest.fixture
def app(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def a_campaign(app: Connection, name: str = "c", status: str = "running", **values: object) -> UUID:
    """Three messages, to phones of their own: one read and answered, one delivered, one sent. Drained."""
    campaign: UUID = insert(app, "campaigns", name=name, status=status, **values)
    for number, statuses in enumerate((("read", "delivered"), ("delivered",), ())):
        insert(
            app,
            "send_queue",
            campaign_id=campaign,
            user_phone=f"{name} phone {number}",
            whatsapp_number_id="n",
            template_name="t",
            status="sent",
            whatsapp_message_id=f"{name}{number}",
            sent_at=SENT,
        )
        for minutes, provider_status in enumerate(statuses, 1):
            report(app, f"{name}{number}", provider_status, SENT + timedelta(minutes=minutes))
    reply(app, f"{name} phone 0", SENT + timedelta(hours=2))
    drain(app)
    return campaign


def report(app: Connection, message: str, status: str, at: datetime = NOW) -> None:
    insert(app, "message_status_logs", whatsapp_message_id=message, status=status, created_at=at)


def reply(app: Connection, phone: str, at: datetime) -> None:
    insert(app, "messages", user_phone=phone, whatsapp_number_id="n", direction="incoming", created_at=at)


def set_status(app: Connection, campaign: UUID, status: str, completed_at: object = None) -> None:
    app.execute(
        "UPDATE campaigns SET status = %s, completed_at = %s WHERE id = %s", [status, completed_at, campaign]
    )
    drain(app)


def frozen_campaign(app: Connection, name: str = "c") -> UUID:
    campaign = a_campaign(app, name)
    set_status(app, campaign, "completed", LONG_AGO)
    assert state(app, campaign) == "frozen"
    return campaign


def value(app: Connection, statement: str, *parameters: object) -> Any:
    row = app.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    return row[0]


def state(app: Connection, campaign: UUID) -> str:
    """Headrace's; the document, where there is one, must say the same."""
    found = value(app, "SELECT state FROM headrace.campaign WHERE campaign_id = %s", campaign)
    documents = app.execute(
        "SELECT state FROM headrace.campaign_computed_stats WHERE campaign_id = %s", [campaign]
    ).fetchall()
    assert documents in ([], [(found,)])
    return str(found)


def document(app: Connection, campaign: UUID) -> dict[str, Any]:
    """As it is served, without how old it is."""
    found = value(app, "SELECT headrace.campaign_stats(%s) - 'age_seconds'", campaign)
    assert isinstance(found, dict)
    return found


def numbers(app: Connection, campaign: UUID) -> tuple[Any, ...]:
    found = document(app, campaign)
    return found["version"], found["totals"], found["template_stats"]


def totals(app: Connection, campaign: UUID, *counters: str) -> tuple[Any, ...]:
    return tuple(document(app, campaign)["totals"][counter] for counter in counters)


def amendments(app: Connection, campaign: UUID) -> list[dict[str, Any]]:
    cursor = app.execute(
        "SELECT version, template_stats, totals, checksum, changed, why FROM headrace.campaign_stats_amendment"
        " WHERE campaign_id = %s ORDER BY id",
        [campaign],
    )
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def waiting(app: Connection) -> dict[UUID, int]:
    """Campaigns whose amendment waits for a decision, and how often something asked for it."""
    return dict(
        app.execute("SELECT campaign_id, times FROM headrace.campaign_stats_pending_amendment").fetchall()
    )


def operate(app: Connection, function: str, campaign: UUID, *parameters: object) -> int:
    marks = "".join(", %s" for _ in parameters)
    return int(value(app, f"SELECT headrace.{function}(ARRAY[%s]::uuid[]{marks})", campaign, *parameters))


def assert_equals_recompute(app: Connection) -> None:
    """Counters, series and medians of all campaigns, frozen or not."""
    assert_all_agree(app)


# --- the state machine ------------------------------------------------------------------------------------------


STATES = ("pending", "live", "settling", "frozen", "amended", "deleted")
STATUSES = (None, "", "draft", "scheduled", "running", "paused", "completed", "failed")
# What the source says of a campaign, and what follows for one that is frozen or not; None: as it was.
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


def times(app: Connection, campaign: UUID) -> tuple[Any, ...]:
    row = app.execute(
        "SELECT completed_at, settles_until FROM headrace.campaign WHERE campaign_id = %s", [campaign]
    ).fetchone()
    assert row is not None
    return row


def announced(app: Connection) -> list[UUID]:
    rows = app.execute("SELECT campaign_id FROM headrace.campaign_completion ORDER BY id")
    return [row[0] for row in rows]


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
    assert_equals_recompute(app)


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
    migrate(database, Settings(settle_window=timedelta(days=30)))
    drain(app)
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
    # What an operator does is no completion.
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


@pytest.mark.parametrize("status", ["draft", "scheduled", "running", "paused", "failed"])
def test_a_campaign_that_is_not_completed_stays_live_however_old(app: Connection, status: str) -> None:
    campaign = a_campaign(app, status=status, created_at=NOW - timedelta(days=900), completed_at=LONG_AGO)
    assert (state(app, campaign), times(app, campaign)) == ("live", (None, None))
    report(app, "c2", "read")
    drain(app)
    assert_equals_recompute(app)


# --- freezing ---------------------------------------------------------------------------------------------------


def held(app: Connection, campaign: UUID) -> dict[str, int]:
    tables = ("message_outcome", "campaign_latency", "campaign_hourly_stats", "campaign_template_stats")
    return {
        table: value(app, f"SELECT count(*) FROM headrace.{table} WHERE campaign_id = %s", campaign)
        for table in tables
    }


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
        "reply_window": 604800,
    }
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)
    # Once more: from amended to amended.
    report(app, "c2", "delivered")
    drain(app)
    assert [item["version"] for item in amendments(app, campaign)] == [version, version + 1]
    assert (state(app, campaign), document(app, campaign)["version"]) == ("amended", version + 2)
    assert_equals_recompute(app)


def test_a_late_webhook_that_changes_no_number_changes_nothing_but_the_row_counts(app: Connection) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    report(app, "c0", "delivered")
    drain(app)
    assert document(app, campaign) == before
    assert (state(app, campaign), amendments(app, campaign)) == ("frozen", [])
    assert value(app, "SELECT source_rows -> 'message_status_logs' FROM headrace.campaign") == 4
    assert value(app, "SELECT late_messages IS NULL AND rebuild_requested_at IS NULL FROM headrace.campaign")


def test_a_late_webhook_of_an_earlier_time_moves_the_series_and_keeps_the_version(app: Connection) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    report(app, "c1", "sent", SENT - timedelta(hours=3))
    drain(app)
    assert_equals_recompute(app)
    assert document(app, campaign)["totals"] != before["totals"]  # the time to delivery is longer
    assert totals(app, campaign, "sent", "delivered", "read") == (3, 2, 1)


def test_a_late_reply_amends(app: Connection) -> None:
    campaign = frozen_campaign(app)
    reply(app, "c phone 1", SENT + timedelta(days=6))
    drain(app)
    assert (state(app, campaign), totals(app, campaign, "replied")) == ("amended", (2,))
    (record,) = amendments(app, campaign)
    assert {item["counter"] for item in record["changed"]} == {"replied"}
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)


def test_a_message_moved_into_a_frozen_campaign_amends_it_and_leaves_the_other(app: Connection) -> None:
    campaign, other = frozen_campaign(app), a_campaign(app, "other")
    app.execute("UPDATE send_queue SET campaign_id = %s WHERE whatsapp_message_id = 'other0'", [campaign])
    drain(app)
    assert (state(app, campaign), totals(app, campaign, "total", "read")) == ("amended", (4, 2))
    assert totals(app, other, "total", "read") == (2, 0)
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)


# --- rows that are gone -----------------------------------------------------------------------------------------


PRUNED = {
    "message_status_logs": "DELETE FROM message_status_logs WHERE whatsapp_message_id = 'c0'",
    "send_queue": "DELETE FROM send_queue WHERE whatsapp_message_id = 'c0'",
    "messages": "DELETE FROM messages",
}


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
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)
    set_status(app, campaign, "completed", LONG_AGO)
    assert state(app, campaign) == "frozen"
    assert numbers(app, campaign)[0] == version + 1
    assert len(amendments(app, campaign)) == 1
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)


def test_a_campaign_without_all_its_rows_is_reopened_only_where_that_is_accepted(app: Connection) -> None:
    campaign = frozen_campaign(app)
    before = document(app, campaign)
    app.execute(PRUNED["message_status_logs"].encode())
    drain(app)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=f"campaign {campaign} has fewer"):
        operate(app, "reopen_campaigns", campaign)
    assert (document(app, campaign), waiting(app)) == (before, {campaign: 1})
    set_status(app, campaign, "running")  # the application's word alone does not do it either
    assert numbers(app, campaign) == (before["version"], before["totals"], before["template_stats"])
    assert state(app, campaign) == "frozen"
    operate(app, "reopen_campaigns", campaign, True)
    assert (state(app, campaign), waiting(app)) == ("live", {})
    assert amendments(app, campaign)[0]["why"]["fewer_rows_accepted"] is True
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)


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
    app.execute("DELETE FROM campaigns")  # and by the foreign key its messages
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
    assert_equals_recompute(app)


# --- recounts ---------------------------------------------------------------------------------------------------


def test_a_rebuild_of_everything_leaves_frozen_campaigns_that_are_right_as_they_are(app: Connection) -> None:
    campaign = frozen_campaign(app)
    a_campaign(app, "live")
    before = document(app, campaign)
    assert value(app, "SELECT headrace.request_rebuild()") == 2
    drain(app)
    assert (document(app, campaign), amendments(app, campaign)) == (before, [])
    assert_equals_recompute(app)


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
    assert_equals_recompute(app)
    app.execute("DELETE FROM messages")
    drain(app)
    assert waiting(app) == {campaign: 1}


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


def test_campaigns_that_are_due_to_be_frozen_are_work_for_whoever_catches_up(
    app: Connection, database: str
) -> None:
    created = NOW - timedelta(days=30)
    campaign = a_campaign(app, created_at=created)
    set_status(app, campaign, "completed", NOW)

    def due() -> tuple[int, Any]:
        application = engine(database)
        with application.connect() as connection:
            seen = look(connection)
        application.dispose()
        assert isinstance(application, sa.Engine)
        assert seen is not None
        return seen.rebuilds, seen.rebuild_days

    assert due() == (0, None)
    app.execute("UPDATE headrace.campaign SET settles_until = now()")
    assert due() == (1, (created.date(), created.date()))
    assert value(app, "SELECT headrace.rebuilds_pending()") == 1
