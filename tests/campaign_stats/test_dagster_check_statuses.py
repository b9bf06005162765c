"""The checks of irregular input: orphaned statuses, unknown values, rejected webhooks. They warn, and name what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.types.json import Jsonb

from orchestration.campaign_stats.checks import orphaned_statuses, unknown_values, webhook_rejects
from orchestration.campaign_stats.source_checks import Orphans, Value, judge_orphans, judge_values
from orchestration.dagster_kit.findings import MOST_ROWS
from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.conftest import Checked, the_check
from tests.rows import insert
from tests.source_shapes import VARCHAR_AND_BIGINT

WARN = dg.AssetCheckSeverity.WARN


@pytest.fixture
def app(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """A session of the application in an empty database that the environment names."""
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database)
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def status(connection: psycopg.Connection[Any], message: str | None, value: str, hours_old: float) -> int:
    at = datetime.now(UTC) - timedelta(hours=hours_old)
    made = insert(connection, "message_status_logs", whatsapp_message_id=message, status=value, created_at=at)
    return int(made)


# --- orphans -------------------------------------------------------------------------------------------------------


def test_statuses_with_their_messages_pass(app: psycopg.Connection[Any]) -> None:
    insert(app, "send_queue", whatsapp_message_id="wamid.1")
    for hours in (0, 25, 300):
        status(app, "wamid.1", "delivered", hours)
    found = the_check(orphaned_statuses)
    assert found.passed
    assert found.sentence == "all 2 statuses older than 24 h belong to a row of send_queue"
    assert (found.told["statuses"], found.told["orphaned"], found.told["orphaned_share"]) == (2, 0, 0.0)


def test_no_statuses_at_all_pass(app: psycopg.Connection[Any]) -> None:
    assert the_check(orphaned_statuses).passed


def test_orphans_warn_with_count_share_statuses_and_the_newest_ids(app: psycopg.Connection[Any]) -> None:
    insert(app, "send_queue", whatsapp_message_id="wamid.1")
    insert(app, "send_queue", whatsapp_message_id=None)
    for hours in range(30, 34):
        status(app, "wamid.1", "sent", hours)
    ids = [status(app, f"nobody's {n}", "delivered", 100 - n) for n in range(7)]
    lone = status(app, None, "read", 48)
    status(app, "nobody's 1", "delivered", 1)  # young: its sender may store the id yet
    found = the_check(orphaned_statuses)
    assert not found.passed
    assert found.severity is WARN
    newest = ", ".join(map(str, reversed(ids[2:])))
    assert found.sentence == (
        "8 of 12 statuses older than 24 h (66.67%) belong to no row of send_queue, and count for nothing: "
        f"delivered 7, read 1; for example message_status_logs.id {newest}"
    )
    assert found.told["orphaned"] == 8
    assert found.told["orphaned_share"] == 0.666667
    assert [row[:4] for row in found.told["orphan_table"]] == [("delivered", 7, 7, 0), ("read", 1, 1, 0)]
    assert found.told["orphan_table"][1][6] == str(lone)


def test_how_old_is_old_is_configured(app: psycopg.Connection[Any]) -> None:
    status(app, "nobody's", "sent", 2)
    assert the_check(orphaned_statuses).passed
    assert the_check(orphaned_statuses, older_than_hours=3).passed
    assert not the_check(orphaned_statuses, older_than_hours=1).passed


def test_a_message_id_that_is_stored_late_adopts_its_statuses(app: psycopg.Connection[Any]) -> None:
    queued = insert(app, "send_queue", whatsapp_message_id=None)
    status(app, "wamid.late", "delivered", 30)
    assert not the_check(orphaned_statuses).passed
    app.execute("UPDATE send_queue SET whatsapp_message_id = 'wamid.late' WHERE id = %s", [queued])
    assert the_check(orphaned_statuses).passed


def test_statuses_of_messages_outside_of_campaigns_are_told_apart(app: psycopg.Connection[Any]) -> None:
    insert(app, "messages", whatsapp_message_id="wamid.chat", direction="outgoing")
    insert(app, "messages", whatsapp_message_id="wamid.chat", direction="outgoing")  # stored twice: still one
    status(app, "wamid.chat", "read", 30)
    status(app, "wamid.chat", "delivered", 30)
    found = the_check(orphaned_statuses)
    assert found.sentence.startswith("2 of 2 statuses")
    assert "2 of them are of messages that table messages has" in found.sentence
    assert found.told["of_messages_outside_send_queue"] == 2
    found = the_check(orphaned_statuses, messages_outside_campaigns=True)
    assert found.passed
    assert found.sentence.endswith("belong to a message; 2 of them to one outside of campaigns")
    status(app, "nobody's", "read", 30)
    found = the_check(orphaned_statuses, messages_outside_campaigns=True)
    assert not found.passed
    assert found.sentence.startswith(
        "1 of 3 statuses older than 24 h (33.33%) belong to no row of send_queue or messages"
    )


def test_a_source_without_message_ids_in_messages_and_with_times_that_are_null_is_checked(
    new_database: Callable[[str | None], str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database(None)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(VARCHAR_AND_BIGINT.encode())
        migrate(url, settings)
        lone = insert(
            connection, "message_status_logs", whatsapp_message_id="x", status="read", created_at=None
        )
        insert(connection, "send_queue", whatsapp_message_id="y", status="stuck")
    found = the_check(orphaned_statuses)
    assert found.told["orphan_table"] == [("read", 1, 1, 0, None, None, str(lone))]
    assert the_check(unknown_values[1]).told["value_table"] == [("stuck", 1, "1")]


def test_every_status_may_be_an_orphan_without_the_sentence_growing() -> None:
    seen = [Orphans(f"s{n}", 10, 10, 0, examples=["1"]) for n in range(200)]
    found = judge_orphans(seen, 24, False)
    assert found.listings["orphan_table"].total == 200
    assert len(found.listings["orphan_table"].rows) == MOST_ROWS
    assert "s7 10, and 192 more" in found.sentence


# --- values --------------------------------------------------------------------------------------------------------


def of(check: dg.AssetChecksDefinition) -> str:
    (key,) = check.check_keys
    return key.asset_key.to_user_string()


CHECKS = {of(check): check for check in unknown_values}


def values(asset: str) -> Checked:
    return the_check(CHECKS[asset])


def test_there_is_a_check_of_values_on_each_table_that_has_some() -> None:
    assert {(of(check), next(iter(check.check_keys)).name) for check in unknown_values} == {
        ("app/campaigns", "unknown_statuses"),
        ("app/send_queue", "unknown_statuses"),
        ("app/message_status_logs", "unknown_statuses"),
        ("app/messages", "unknown_directions"),
    }


def test_the_providers_five_statuses_pass_and_deleted_is_listed_apart(app: psycopg.Connection[Any]) -> None:
    for value in ("sent", "delivered", "read", "played", "failed", "deleted", "deleted"):
        status(app, "m", value, 1)
    found = values("app/message_status_logs")
    assert found.passed
    assert found.sentence == (
        "7 rows of message_status_logs: every status is known; documented, and counting for nothing: deleted 2"
    )
    assert found.told["rows_documented_without_effect"] == 2
    assert found.told["rows_with_unknown_values"] == 0


def test_unknown_statuses_warn_by_name_with_counts_and_an_id(app: psycopg.Connection[Any]) -> None:
    first = status(app, "m", "warning", 1)
    status(app, "m", "warning", 1)
    odd = status(app, "m", "Read ", 1)
    status(app, "m", "read", 1)
    found = values("app/message_status_logs")
    assert not found.passed
    assert found.severity is WARN
    assert found.sentence == (
        "message_status_logs.status has values that count for nothing: "
        f"warning (2 rows, for example id {first}); 'Read ' (1 rows, for example id {odd})"
    )
    assert (found.told["rows"], found.told["unknown_values"], found.told["rows_with_unknown_values"]) == (
        4,
        2,
        3,
    )
    assert found.told["value_table"] == [("warning", 2, str(first)), ("'Read '", 1, str(odd))]


def test_unknown_statuses_of_queue_rows_and_campaigns_warn(app: psycopg.Connection[Any]) -> None:
    app.execute("ALTER TABLE send_queue DROP CONSTRAINT send_queue_status_check")
    app.execute("ALTER TABLE campaigns DROP CONSTRAINT campaigns_status_check")
    for value in ("queued", "sent", "failed"):
        insert(app, "send_queue", status=value)
    for value in ("draft", "scheduled", "running", "paused", "completed", "failed"):
        insert(app, "campaigns", status=value)
    assert values("app/send_queue").passed
    assert values("app/campaigns").passed
    queued = insert(app, "send_queue", status="delivered")
    campaign = insert(app, "campaigns", status="archived")
    assert values("app/send_queue").sentence == (
        f"send_queue.status has values that count for nothing: delivered (1 rows, for example id {queued})"
    )
    assert values("app/campaigns").told["value_table"] == [("archived", 1, str(campaign))]


def test_directions_that_are_neither_incoming_nor_outgoing_warn(app: psycopg.Connection[Any]) -> None:
    for value in ("incoming", "outgoing"):
        insert(app, "messages", direction=value)
    assert values("app/messages").passed
    lone = insert(app, "messages", direction="inbound")
    without = insert(app, "messages", direction=None)
    found = values("app/messages")
    assert not found.passed
    assert found.told["value_table"] == [("inbound", 1, str(lone)), ("(null)", 1, str(without))]
    assert found.sentence.startswith("messages.direction has values that count for nothing: inbound (1 rows")


def test_many_unknown_values_are_cut_in_the_sentence_and_the_list() -> None:
    found = judge_values([Value(f"v{n}", False, 1, "1") for n in range(80)], "send_queue", "status")
    assert found.sentence.endswith("; and 75 more")
    assert len(found.listings["value_table"].rows) == MOST_ROWS
    assert found.listings["value_table"].total == 80


# --- webhooks ------------------------------------------------------------------------------------------------------


def ingest(connection: psycopg.Connection[Any], *statuses: dict[str, object]) -> None:
    body = {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": "1",
                "changes": [
                    {
                        "field": "messages",
                        "value": {"metadata": {"phone_number_id": "1"}, "statuses": list(statuses)},
                    }
                ],
            }
        ],
    }
    connection.execute("SELECT headrace.ingest_whatsapp_webhook(%s)", [Jsonb(body)])


def test_webhooks_that_were_taken_in_pass(app: psycopg.Connection[Any]) -> None:
    ingest(app, {"id": "wamid.1", "status": "read", "timestamp": "1774600000"})
    found = the_check(webhook_rejects)
    assert found.passed
    assert found.told["items"] == 0


def test_rejects_warn_by_reason_with_counts(app: psycopg.Connection[Any]) -> None:
    for n in range(3):
        ingest(app, {"id": f"wamid.{n}", "status": "read"})
    ingest(app, {"id": "wamid.0", "status": "read"})
    ingest(app, {"status": "read", "timestamp": "1774600000"})
    reasons = dict(app.execute("SELECT reason, count(*) FROM headrace.webhook_reject GROUP BY 1").fetchall())
    assert sorted(reasons.values()) == [1, 3]
    found = the_check(webhook_rejects)
    assert not found.passed
    assert found.severity is WARN
    named = "; ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items(), key=lambda r: -r[1]))
    assert found.sentence.startswith(
        f"4 parts of webhooks were not taken in: {named}; see headrace.webhook_reject"
    )
    assert (found.told["reasons"], found.told["items"], found.told["times"]) == (2, 4, 5)
    assert [(row[1], row[2]) for row in found.told["reject_table"]] == [(3, 4), (1, 1)]
    app.execute("DELETE FROM headrace.webhook_reject")
    assert the_check(webhook_rejects).passed
