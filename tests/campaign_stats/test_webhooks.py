"""Raw webhooks are ingested whole: each item once, and what cannot be ingested is kept with the reason."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree, drain
from tests.campaign_stats.webhooks import Connection, counts, envelope, ingest, message, rejects, status
from tests.rows import insert
from tests.sessions import as_role
from tests.source_shapes import VARCHAR_AND_BIGINT

PAYLOADS = Path(__file__).resolve().parents[3] / "shared" / "data" / "whatsapp_statuses"

# Worked out by hand from each payload: the rows it must give (message id, status, unix seconds, error codes), or where it
# is refused and why.
NO_ENVELOPE = "no envelope: entry[].changes[].value is missing"
A_CHANGE_ALONE = [("value.statuses[0]", NO_ENVELOPE)]
EXPECTED: dict[str, tuple[list[tuple[str, str, int, list[int]]], list[tuple[str, str]]]] = {
    "00": (
        [("wamid.HBgNNTUyNzk5NzAUZBQTI3MzRGRDA3MjgzMDkzNhUCABEYEjNCR2OQA=", "failed", 1677783372, [131053])],
        [],
    ),
    "01": (
        [("wamid.nBgN6TUyN2k5NzAzM5kzNhUCABI8FDNFQjAxQkE5REI4NEUzQ5Y5QTNgAA==", "delivered", 1673020317, [])],
        [],
    ),
    "02": (
        [("wamid.nBgN6TUyN2k5NzAzM5kzNhUCABI8FDNFQjAxQkE5REI4NEUzQ5Y5QTNgAA==", "sent", 1673020317, [])],
        [],
    ),
    **{f"{number:02}": ([], A_CHANGE_ALONE) for number in range(3, 19)},
    "19": ([("wamid.PvMgEDLXbtZoDenzqqZVDsTz6VYZSCwivtcLj9sQ8tMz8JnbmeL07OA=", "sent", 1743081616, [])], []),
    "20": ([], [("", NO_ENVELOPE)]),
    "21": ([("wamid.ID", "delivered", 1669233778, [])], []),
    "22": ([("amid.ID", "failed", 1674912647, [131053])], []),
    "23": ([("wamid.ID", "delivered", 1685626673, [])], []),
    "24": ([("wamid.ID", "delivered", 1685626673, [])], []),
    "25": ([("wamid.ID", "read", 1669233778, [])], []),
    "26": ([("wamid.STATUSMSG", "sent", 1690000000, [])], []),
    "27": ([], [("statuses[0]", NO_ENVELOPE)]),
    "28": ([], [("statuses[0]", NO_ENVELOPE)]),
    "29": ([], [("statuses[0]", f"{NO_ENVELOPE}; no timestamp")]),
    "30": ([], [("statuses[0]", f"{NO_ENVELOPE}; no timestamp")]),
    "31": ([("<WHATSAPP_MESSAGE_ID>", "failed", 12999990, [131050])], []),
}


def logs(connection: Connection) -> list[tuple[str, str, int, list[int]]]:
    return [
        (message, name, int(at.timestamp()), [error["code"] for error in errors or []])
        for message, name, at, errors in connection.execute(
            "SELECT whatsapp_message_id, status, created_at, errors FROM message_status_logs ORDER BY id"
        )
    ]


@pytest.fixture
def connection(database: str) -> Any:
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


@pytest.mark.skipif(not PAYLOADS.exists(), reason=f"the provider's payloads are not there: {PAYLOADS}")
def test_every_payload_of_the_provider_gives_what_was_worked_out_by_hand(connection: Connection) -> None:
    assert sorted(path.stem for path in PAYLOADS.glob("*.json")) == sorted(EXPECTED)
    for name, (rows, refused) in EXPECTED.items():
        body = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
        connection.execute("TRUNCATE message_status_logs, headrace.webhook_reject")
        for stored in (len(rows), 0):  # delivered twice
            answer = ingest(connection, body)
            assert answer["statuses"] == counts(stored, len(rows) - stored), name
            assert answer["messages"] == counts(0, 0)
            assert [(item["path"], item["reason"]) for item in answer["rejected"]] == refused, name
        assert logs(connection) == rows, name
        assert rejects(connection) == refused, name


@pytest.mark.skipif(not PAYLOADS.exists(), reason=f"the provider's payloads are not there: {PAYLOADS}")
def test_payloads_that_say_the_same_are_one_row(connection: Connection) -> None:
    bodies = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(PAYLOADS.glob("*.json"))]
    answers = [ingest(connection, body) for body in bodies]
    # 24.json says the same as 23.json.
    assert logs(connection) == [row for name, (rows, _) in EXPECTED.items() if name != "24" for row in rows]
    assert sum(answer["statuses"]["repeated"] for answer in answers) == 1
    assert sum(len(answer["rejected"]) for answer in answers) == 21


def test_all_levels_repeat(connection: Connection) -> None:
    body = envelope(
        {"statuses": [status("a"), status("b")]}, {"statuses": [status("c")], "messages": [message()]}
    )
    body["entry"][1]["changes"].append(
        {"field": "messages", "value": {"statuses": [status("d"), status("d", "read")]}}
    )
    answer = ingest(connection, body)
    assert answer == {
        "statuses": counts(5, 0),
        "messages": counts(1, 0),
        "rejected": [],
    }
    assert [row[:2] for row in logs(connection)] == [
        ("a", "delivered"),
        ("b", "delivered"),
        ("c", "delivered"),
        ("d", "delivered"),
        ("d", "read"),
    ]


def test_a_bad_item_is_kept_with_its_place_and_reason_and_the_good_ones_go_in(connection: Connection) -> None:
    bad = {
        "statuses[1]": ("not a JSON object", "text"),
        "statuses[2]": ("no message id (id)", {"status": "read", "timestamp": "1"}),
        "statuses[3]": ("no status", {"id": "x", "timestamp": "1"}),
        "statuses[4]": ("no timestamp", {"id": "x", "status": "read"}),
        "statuses[5]": ('timestamp "1700000000000" is not in unix seconds', status(at="1700000000000")),
        "statuses[6]": ('timestamp "-1" is not in unix seconds', status(at="-1")),
        "statuses[7]": ("timestamp {} is not in unix seconds", status(at={})),
        "statuses[8]": ("the status of a call, not of a message", status(type="call")),
        "statuses[9]": ("no message id (id); no status; no timestamp", {}),
        "statuses[10]": ("no message id (id)", status(message=7)),  # type: ignore[arg-type]
    }
    body = envelope(
        {
            "statuses": [
                status("good"),
                *(item for _, item in bad.values()),
                status("also good", at=1700000000),
            ]
        }
    )
    answer = ingest(connection, body)
    assert answer["statuses"] == counts(2, 0)
    expected = [(f"entry[0].changes[0].value.{path}", reason) for path, (reason, _) in bad.items()]
    assert [(item["path"], item["reason"]) for item in answer["rejected"]] == expected
    kept = connection.execute("SELECT path, reason, item FROM headrace.webhook_reject").fetchall()
    assert {(path, reason): item for path, reason, item in kept} == {
        place: item for place, (_, item) in zip(expected, bad.values(), strict=True)
    }
    assert [row[:2] for row in logs(connection)] == [("good", "delivered"), ("also good", "delivered")]


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        (None, "", "the body is not a JSON object"),
        ([], "", "the body is not a JSON object"),
        ("entry", "", "the body is not a JSON object"),
        ({}, "", NO_ENVELOPE),
        ({"entry": {}}, "", "no envelope: entry is not an array"),
        ({"statuses": []}, "", NO_ENVELOPE),
        (
            {"object": None, "entry": [{}]},
            "entry[0]",
            "no envelope: changes is not an array with something in it",
        ),
        ({"entry": []}, "", "no envelope: entry is empty"),
        (
            {"object": "page", "entry": [{"changes": []}]},
            "",
            'object is "page", not "whatsapp_business_account"',
        ),
        ({"entry": [7]}, "entry[0]", "no envelope: changes is not an array with something in it"),
        (
            {"entry": [{"changes": []}]},
            "entry[0]",
            "no envelope: changes is not an array with something in it",
        ),
        ({"entry": [{"changes": [7]}]}, "entry[0].changes[0]", "a change that is not a JSON object"),
        ({"entry": [{"changes": [{}]}]}, "entry[0].changes[0]", "no envelope: value is not a JSON object"),
        (
            {"entry": [{"changes": [{"field": "calls", "value": {"statuses": [status()]}}]}]},
            "entry[0].changes[0]",
            'field is "calls", not "messages"',
        ),
        (envelope({}), "entry[0].changes[0].value", "neither statuses nor messages"),
        (envelope({"statuses": {}}), "entry[0].changes[0].value.statuses", "statuses is not an array"),
        (
            envelope({"errors": [{"code": 130429}]}),
            "entry[0].changes[0].value.errors[0]",
            "an error of the account, not of a message",
        ),
        (
            {"value": {"messages": [message()]}},
            "value.messages[0]",
            f"{NO_ENVELOPE}; no number (metadata.phone_number_id)",
        ),
    ],
)
def test_what_is_no_body_of_the_provider_is_kept_whole(
    body: object, path: str, reason: str, connection: Connection
) -> None:
    answer = ingest(connection, body)
    assert answer["rejected"] == [{"path": path, "reason": reason}]
    assert (answer["statuses"], answer["messages"]) == (counts(0, 0),) * 2
    assert rejects(connection) == [(path, reason)]


def test_what_stands_beside_the_envelope_is_kept_too(connection: Connection) -> None:
    body = {**envelope({"statuses": [status()]}), "statuses": [status("beside")], "value": 7, "changes": {}}
    answer = ingest(connection, body)
    assert answer["statuses"] == counts(1, 0)
    assert sorted((item["path"], item["reason"]) for item in answer["rejected"]) == [
        ("", "no envelope: changes is not an array with something in it"),
        ("", "no envelope: value is not a JSON object"),
        ("statuses[0]", NO_ENVELOPE),
    ]


def test_no_body_at_all_is_kept_too(connection: Connection) -> None:
    connection.execute("SELECT headrace.ingest_whatsapp_webhook(NULL)")
    assert rejects(connection) == [("", "the body is not a JSON object")]


def test_a_reject_delivered_again_is_kept_once_and_counted(connection: Connection) -> None:
    for _ in range(3):
        ingest(connection, envelope({"statuses": [{"id": "x", "status": "read"}]}))
    assert connection.execute("SELECT times, last_at > first_at FROM headrace.webhook_reject").fetchall() == [
        (3, True)
    ]


def test_incoming_messages_become_rows_and_count_as_replies(connection: Connection) -> None:
    campaign = insert(connection, "campaigns", name="c", status="running")
    for n in range(3):
        insert(
            connection,
            "send_queue",
            campaign_id=campaign,
            user_phone=f"491{n}",
            whatsapp_number_id="100",
            template_name="t",
            status="sent",
            whatsapp_message_id=f"wamid.{n}",
            sent_at=datetime.fromtimestamp(1700000000, UTC),
        )
    body = envelope(
        {
            "messages": [
                message("m1", "4910", "1700000060"),
                message("m2", "4919", "1700000061", context={"id": "wamid.1", "from": "100"}),
                message(
                    "m3",
                    "4918",
                    "1700000062",
                    type="reaction",
                    reaction={"message_id": "wamid.2", "emoji": "👍"},
                ),
                message("m4", "4910", "1700000063", type="system", system={"body": "changed their number"}),
                {"id": "m5", "timestamp": "1700000064", "type": "text"},
            ]
        }
    )
    answer = ingest(connection, body)
    assert answer["messages"] == counts(3, 0)
    assert [item["reason"] for item in answer["rejected"]] == [
        "a notice of the system, not a message of the contact",
        "no sender (from)",
    ]
    assert connection.execute(
        "SELECT whatsapp_message_id, user_phone, whatsapp_number_id, direction, extract(epoch FROM created_at)::int,"
        " context_message_id FROM messages ORDER BY 1"
    ).fetchall() == [
        ("m1", "4910", "100", "incoming", 1700000060, None),
        ("m2", "4919", "100", "incoming", 1700000061, "wamid.1"),
        ("m3", "4918", "100", "incoming", 1700000062, "wamid.2"),
    ]
    assert ingest(connection, body)["messages"] == counts(0, 3)
    drain(connection)
    assert assert_all_agree(connection) == {(campaign, "t"): (3, 3, 0, 0, 3, 0, 0)}


def test_a_status_that_is_there_names_its_campaign(connection: Connection) -> None:
    campaign = insert(connection, "campaigns", name="c", status="running")
    insert(connection, "send_queue", campaign_id=campaign, whatsapp_message_id="known", template_name="t")
    ingest(connection, envelope({"statuses": [status("known"), status("unknown")]}))
    assert connection.execute(
        "SELECT whatsapp_message_id, campaign_id FROM message_status_logs ORDER BY 1"
    ).fetchall() == [("known", campaign), ("unknown", None)]


def test_an_item_that_the_tables_refuse_is_kept_and_the_others_go_in(connection: Connection) -> None:
    connection.execute(
        "ALTER TABLE message_status_logs ADD CONSTRAINT short CHECK (length(whatsapp_message_id) < 9)"
    )
    body = envelope(
        {"statuses": [status("short 1"), status("much too long"), status("short 2"), status("short 1")]}
    )
    answer = ingest(connection, body)
    assert answer["statuses"] == counts(2, 1)
    assert [row[0] for row in logs(connection)] == ["short 1", "short 2"]
    ((path, reason),) = rejects(connection)
    assert path == "entry[0].changes[0].value.statuses[1]"
    assert reason.startswith(
        '23514 new row for relation "message_status_logs" violates check constraint "short"'
    )


def test_an_error_that_is_no_items_fault_is_raised_for_the_provider_to_try_again(
    connection: Connection,
) -> None:
    connection.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(connection.info.dsn) as other:
        other.execute("LOCK TABLE message_status_logs")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            ingest(connection, envelope({"statuses": [status()]}))
    assert rejects(connection) == []


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_isolation_level_that_would_store_twice_is_refused(level: str, connection: Connection) -> None:
    connection.execute(f"SET default_transaction_isolation = '{level.lower()}'")
    with pytest.raises(psycopg.errors.InvalidTransactionState, match="READ COMMITTED"):
        ingest(connection, envelope({"statuses": [status()]}))


def test_the_application_may_call_it_and_dashboards_may_not(database: str) -> None:
    for role in ("headrace_app", "headrace_worker"):
        with psycopg.connect(as_role(database, role), autocommit=True) as opened:
            assert ingest(opened, envelope({"statuses": [status(role)]}))["statuses"]["stored"] == 1
    with (
        psycopg.connect(as_role(database, "headrace_reader"), autocommit=True) as opened,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        ingest(opened, envelope({"statuses": [status()]}))


def test_tables_without_the_optional_columns_take_what_they_can(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url = new_database(None)
    with psycopg.connect(url, autocommit=True) as opened:
        opened.execute(VARCHAR_AND_BIGINT)
        migrate(url, settings)
        answer = ingest(
            opened,
            envelope(
                {
                    "statuses": [status("a"), status("b", "failed", errors=[{"code": 1}])],
                    "messages": [message()],
                }
            ),
        )
        assert answer["statuses"] == counts(2, 0)
        assert [(item["path"].rpartition(".")[2], item["reason"]) for item in answer["rejected"]] == [
            (
                "messages[0]",
                "P0001 table messages lacks column whatsapp_message_id (text), by which a message is known again",
            ),
            (
                "statuses[1]",
                "taken in without its errors: table message_status_logs lacks column errors (jsonb)",
            ),
        ]
        assert opened.execute(
            "SELECT whatsapp_message_id, status FROM message_status_logs ORDER BY id"
        ).fetchall() == [
            ("a", "delivered"),
            ("b", "failed"),
        ]
        assert opened.execute("SELECT count(*) FROM headrace.webhook_reject").fetchone() == (2,)


def test_deliveries_at_the_same_time_store_each_item_once(database: str) -> None:
    bodies = [
        envelope(
            {
                "statuses": [status(f"m{n}", name) for n in range(first, first + 40)],
                "messages": [message(f"i{first}")],
            }
        )
        for first in range(0, 200, 20)
        for name in ("sent", "delivered")
    ]
    failures: list[Exception] = []

    def deliver(seed: int) -> None:
        order = random.Random(seed).sample(bodies, len(bodies))
        try:
            with psycopg.connect(database, autocommit=True) as opened:
                for body in order:
                    ingest(opened, body)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=deliver, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with psycopg.connect(database) as opened:
        assert opened.execute(
            "SELECT count(*), count(DISTINCT (whatsapp_message_id, status)) FROM message_status_logs"
        ).fetchone() == (440, 440)
        assert opened.execute("SELECT count(*) FROM messages").fetchone() == (10,)
        assert opened.execute("SELECT count(*) FROM headrace.webhook_reject").fetchone() == (0,)
