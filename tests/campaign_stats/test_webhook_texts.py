"""The body as text: characters that jsonb cannot hold are replaced, and text that is not JSON is kept."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.campaign_stats.webhooks import Connection, counts, envelope, ingest, message, rejects, status

BODY = json.dumps(
    envelope({"statuses": [status("NAME")], "messages": [message("in", text={"body": "NAME"})]})
)


def ingest_text(connection: Connection, body: str) -> dict[str, Any]:
    row = connection.execute("SELECT headrace.ingest_whatsapp_webhook_text(p_body => %s)", [body]).fetchone()
    assert row is not None
    answer: dict[str, Any] = row[0]
    return answer


def test_a_body_as_text_goes_in_as_the_same_body_does_as_json(app: Connection) -> None:
    body = envelope({"statuses": [status(), {"id": "x"}], "messages": [message()]})
    with app.transaction(force_rollback=True):
        answer = ingest(app, body)
    assert ingest_text(app, json.dumps(body)) == {**answer, "replaced": False}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"a\u0000b", "a\ufffdb"),
        (r"\u0000\u0000", "\ufffd\ufffd"),
        (r"\ud83d", "\ufffd"),
        (r"\uDE00!", "\ufffd!"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\ud83d\ud83d\ude00", "\ufffd😀"),
        (r"\ud83d\ude00\u0000", "😀\ufffd"),
        (r"\u0000\\u0000", "\ufffd\\u0000"),  # an escaped backslash, then plain text
        (r"\u0000\\\u0000", "\ufffd\\\ufffd"),
        (r"\u0000\"\n\u00e9\u0001", '\ufffd"\né\x01'),
    ],
)
def test_characters_that_jsonb_cannot_hold_are_replaced_and_the_rest_goes_in(
    written: str, read: str, app: Connection
) -> None:
    body = BODY.replace("NAME", written)
    with pytest.raises(psycopg.DataError):
        app.execute("SELECT headrace.ingest_whatsapp_webhook(%s::jsonb)", [body])
    answer = ingest_text(app, body)
    assert (answer["statuses"], answer["messages"], answer["replaced"]) == (counts(1), counts(1), True)
    assert app.execute("SELECT whatsapp_message_id FROM message_status_logs").fetchall() == [(read,)]
    assert ingest_text(app, body)["statuses"] == counts(0, 1)


@pytest.mark.parametrize(
    "body", ["", "no JSON", BODY[:-3], "\x01", r'{"a": "\u00"}', '"text"', "[" * 100_000]
)
def test_what_is_no_json_is_kept_as_it_came(body: str, app: Connection) -> None:
    answer = ingest_text(app, body)
    assert answer["rejected"] == [{"path": "", "reason": "the body is not a JSON object"}]
    assert rejects(app) == [("", "the body is not a JSON object")]
    ((kept,),) = app.execute("SELECT item #>> '{}' FROM headrace.webhook_reject").fetchall()
    assert kept == body.strip('"')


PIECES = ["\\", "\\\\", '"', "u0000", "\\u0000", "\\ud800", "\\uDC00", "\\u00e9", "x", "\\n"]


@pytest.mark.hypothesis
def test_whatever_is_escaped_reads_as_it_was_meant(app: Connection) -> None:
    @given(st.lists(st.sampled_from(PIECES), max_size=8))
    def deliver(pieces: list[str]) -> None:
        body = BODY.replace("NAME", "".join(pieces))
        with app.transaction(force_rollback=True):
            answer = ingest_text(app, body)
            try:
                name = json.loads(body)["entry"][0]["changes"][0]["value"]["statuses"][0]["id"]
            except (json.JSONDecodeError, KeyError):
                assert answer["rejected"]
                return
            wanted = "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in name)
            stored = app.execute("SELECT whatsapp_message_id FROM message_status_logs").fetchall()
            assert stored == ([(wanted,)] if name else [])

    deliver()
