"""What any contact wrote is ingested. A notice that no contact wrote is not a reply, and items of unknown type are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.campaign_stats.oracle import assert_all_agree, drain
from tests.campaign_stats.webhooks import Connection, counts, envelope, ingest, message, rejects, status
from tests.rows import insert

WRITTEN: list[dict[str, Any]] = [
    *(
        {"type": kind, kind: {"id": "1"}}
        for kind in ("image", "audio", "voice", "video", "document", "sticker")
    ),
    {"type": "text", "text": {"body": "yes"}, "referral": {"source_type": "ad"}},
    {"type": "location", "location": {"latitude": 1, "longitude": 2}},
    {"type": "contacts", "contacts": [{"phones": []}], "origin": "contact_request"},
    {"type": "button", "button": {"text": "Yes", "payload": "yes"}},
    {"type": "order", "order": {"catalog_id": "1", "product_items": []}},
    {"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "👍"}},
    *(
        {"type": "interactive", "interactive": {"type": kind, kind: {}}}
        for kind in ("button_reply", "list_reply", "nfm_reply")
    ),
    {"type": "interactive"},  # "Unsupported webhook payload", says the provider beside it
    {
        "type": "interactive",
        "interactive": {
            "type": "call_permission_reply",
            "call_permission_reply": {"response": "accept", "response_source": "user_action"},
        },
    },
    {"type": "unsupported", "unsupported": {"type": "poll_creation"}, "errors": [{"code": 131051}]},
    {"text": {"body": "a body without a type"}},
]
# Notices that no contact wrote: known, and no one needs to look at them.
NOTICES: list[tuple[dict[str, Any], str]] = [
    (
        {"type": "system", "system": {"type": "user_changed_number"}},
        "a notice of the system, not a message of the contact",
    ),
    ({"type": "request_welcome"}, "the contact opened the chat and wrote nothing yet"),
    (
        {"type": "edit", "edit": {"original_message_id": "wamid.x", "message": {"type": "text"}}},
        "an edit of an earlier message",
    ),
    ({"type": "revoke", "revoke": {"original_message_id": "wamid.x"}}, "an earlier message was deleted"),
    ({"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": ""}}, "a reaction was taken back"),
    ({"type": "reaction", "reaction": {"message_id": "wamid.x"}}, "a reaction was taken back"),
    (
        {
            "type": "interactive",
            "interactive": {
                "type": "call_permission_reply",
                "call_permission_reply": {"response_source": "automatic"},
            },
        },
        "permission to call, given by itself",
    ),
]
# Items that may or may not be messages: they count for nothing, and wait for someone to decide.
UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"type": "ephemeral"}, 'type "ephemeral" is not known to be a message of the contact'),
    ({"type": "birthday"}, 'type "birthday" is not known to be a message of the contact'),
    ({"type": 7, "text": {"body": "x"}}, "type 7 is not known to be a message of the contact"),
    (
        {"type": "unsupported", "errors": [{"code": 131051}]},
        'type "unsupported": it is not said that the contact wrote something',
    ),
    (
        {"type": "unsupported", "unsupported": {"type": "pin"}},
        'type "unsupported" (pin): it is not said that the contact wrote something',
    ),
    ({}, "no type"),
    ({"system": {"body": "changed"}, "text": {"body": "x"}}, "no type"),
]


def bare(id: str, kind: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"from": "4917", "id": id, "timestamp": "1700000060", **kind, **more}


def a_message(connection: Connection, wamid: str, phone: str, template: str = "t") -> None:
    """A message of a campaign that was sent, at 1700000000."""
    campaign = insert(connection, "campaigns", name="c", status="running")
    insert(
        connection,
        "send_queue",
        campaign_id=campaign,
        user_phone=phone,
        whatsapp_number_id="100",
        template_name=template,
        status="sent",
        whatsapp_message_id=wamid,
        sent_at=datetime.fromtimestamp(1700000000, UTC),
    )


def replied(connection: Connection) -> dict[str, int]:
    """Replies by template, after a test that all numbers agree."""
    drain(connection)
    return {template: numbers[4] for (_, template), numbers in assert_all_agree(connection).items()}


def test_what_contacts_write_is_taken_in(app: Connection) -> None:
    answer = ingest(app, envelope({"messages": [bare(f"m{n}", kind) for n, kind in enumerate(WRITTEN)]}))
    assert answer["rejected"] == []
    assert answer["messages"] == counts(len(WRITTEN))


def test_what_nobody_wrote_is_no_reply_and_kept_as_a_notice(app: Connection) -> None:
    a_message(app, "wamid.x", "4917")
    found = [*NOTICES, *UNKNOWN]
    answer = ingest(app, envelope({"messages": [bare(f"m{n}", kind) for n, (kind, _) in enumerate(found)]}))
    assert answer["messages"] == counts()
    assert [item["reason"] for item in answer["rejected"]] == [reason for _, reason in found]
    assert app.execute("SELECT reason, notice FROM headrace.webhook_reject ORDER BY path, reason").fetchall()
    assert {
        row[0] for row in app.execute("SELECT item ->> 'id' FROM headrace.webhook_reject WHERE notice")
    } == {f"m{n}" for n in range(len(NOTICES))}
    assert replied(app) == {"t": 0}


def test_a_notice_without_a_sender_is_a_notice_all_the_same(app: Connection) -> None:
    notice = {"id": "m", "timestamp": "1700000060", "type": "system", "system": {"user_id": "MX.1"}}
    assert ingest(app, envelope({"messages": [notice]}))["rejected"] == [
        {
            "path": "entry[0].changes[0].value.messages[0]",
            "reason": "a notice of the system, not a message of the contact",
        }
    ]


@pytest.mark.parametrize(
    ("contacts", "sent", "stored"),
    [
        ([], {"from": "4917", "from_user_id": "US.1"}, "4917"),
        ([], {"from": "", "from_user_id": "US.1"}, "US.1"),
        ([], {"from_user_id": "US.1"}, "US.1"),
        ([], {"from": None, "from_user_id": "US.1"}, "US.1"),
        ([], {"from_parent_user_id": "US.ENT.1"}, "US.ENT.1"),
        ([{"wa_id": "4917", "user_id": "US.1"}], {"from_user_id": "US.1"}, "4917"),
        ([{"wa_id": "", "user_id": "US.1"}], {"from_user_id": "US.1"}, "US.1"),
        ([{"user_id": "US.1"}], {}, "US.1"),
        ([{"wa_id": "4917"}], {}, "4917"),
        ([{"wa_id": "4917"}], {"from_user_id": "US.1"}, "4917"),
        ([{"wa_id": "4999", "user_id": "US.9"}], {"from_user_id": "US.1"}, "US.1"),
        (
            [{"wa_id": "4999", "user_id": "US.9"}, {"wa_id": "4917", "user_id": "US.1"}],
            {"from_user_id": "US.1"},
            "4917",
        ),
        ([{"user_id": "US.9"}, {"user_id": "US.1"}], {}, None),  # which of them?
        ("contacts", {}, None),
        ([7, None], {"from": {}}, None),
        ([], {}, None),
        ([], {"from": "4917", "group_id": "group.1"}, "group.1"),
    ],
)
def test_a_sender_is_known_by_phone_or_else_by_a_users_id(
    contacts: object, sent: dict[str, Any], stored: str | None, app: Connection
) -> None:
    item = {"id": "m", "timestamp": "1700000060", "type": "text", "text": {"body": "x"}, **sent}
    for again in (0, 1):
        answer = ingest(app, envelope({"contacts": contacts, "messages": [item]}))
        if stored is None:
            assert [one["reason"] for one in answer["rejected"]] == ["no sender (from)"]
        else:
            assert answer["messages"] == counts(1 - again, again)
    assert app.execute("SELECT user_phone FROM messages").fetchall() == (
        [] if stored is None else [(stored,)]
    )


def test_contacts_without_a_phone_reply_by_reference_and_by_the_id_that_the_queue_has(
    app: Connection,
) -> None:
    a_message(app, "wamid.1", "4917", "by reference")
    a_message(app, "wamid.2", "4918", "by reaction")
    a_message(app, "wamid.3", "US.3", "by time")
    a_message(app, "wamid.4", "4919", "none")
    ingest(
        app,
        envelope(
            {
                "messages": [
                    bare(
                        "m1",
                        {"type": "button", "button": {}},
                        **{"from": "", "from_user_id": "US.1"},
                        context={"id": "wamid.1"},
                    ),
                    bare(
                        "m2",
                        {"type": "reaction", "reaction": {"message_id": "wamid.2", "emoji": "👍"}},
                        **{"from": None, "from_user_id": "US.2"},
                    ),
                    bare("m3", {"type": "text", "text": {}}, **{"from": "", "from_user_id": "US.3"}),
                    bare("m4", {"type": "text", "text": {}}, **{"from": "", "from_user_id": "US.4"}),
                ],
                "statuses": [status("wamid.4", "sent", recipient_id="", recipient_user_id="US.4")],
            }
        ),
    )
    assert replied(app) == {"by reference": 1, "by reaction": 1, "by time": 1, "none": 0}


def test_what_is_said_in_a_group_answers_no_message_to_its_writer_alone(app: Connection) -> None:
    a_message(app, "wamid.1", "4917", "to the contact")
    a_message(app, "wamid.2", "group.1", "to the group")
    ingest(app, envelope({"messages": [message("m", "4917", "1700000060", group_id="group.1")]}))
    assert replied(app) == {"to the contact": 0, "to the group": 1}


def test_an_empty_reference_names_nothing(app: Connection) -> None:
    for n, context in enumerate(({"id": ""}, {"forwarded": True}, {"id": None}, {"id": {}}, "x", None)):
        ingest(app, envelope({"messages": [message(f"m{n}", context=context)]}))
    assert app.execute("SELECT count(*), count(context_message_id) FROM messages").fetchone() == (6, 0)


def test_other_fields_of_the_provider_are_notices_and_invented_ones_are_not(app: Connection) -> None:
    fields = ["smb_message_echoes", "history", "user_preferences", "group_lifecycle_update", "invented"]
    body = {
        "entry": [{"changes": [{"field": field, "value": {"messages": [message()]}} for field in fields]}]
    }
    answer = ingest(app, body)
    assert answer["messages"] == counts()
    assert [item["reason"] for item in answer["rejected"]] == [
        f'field is "{field}", not "messages"' for field in fields
    ]
    assert app.execute(
        "SELECT item ->> 'field' FROM headrace.webhook_reject WHERE NOT notice"
    ).fetchall() == [("invented",)]


def test_a_list_of_another_kind_beside_messages_is_kept(app: Connection) -> None:
    answer = ingest(app, envelope({"statuses": [status()], "polls": [{"id": 1}], "sum": 7, "contacts": [{}]}))
    assert answer["statuses"] == counts(1)
    assert rejects(app) == [
        ("entry[0].changes[0].value.polls", "polls is neither statuses nor messages"),
    ]
