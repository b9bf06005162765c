"""Any body at all: nothing is raised, and each of its items is stored, already there, suppressed, or kept."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.campaign_stats.webhooks import Connection, envelope, ingest, message, status

pytestmark = [pytest.mark.server, pytest.mark.hypothesis]

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.sampled_from(["", "read", "1700000000", "messages"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "object",
                    "entry",
                    "changes",
                    "field",
                    "value",
                    "statuses",
                    "messages",
                    "errors",
                    "id",
                    "status",
                    "timestamp",
                    "from",
                    "type",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


def says_nothing(body: object) -> bool:
    """Whether a body is an empty envelope."""
    assert isinstance(body, dict)
    values = [change["value"] for entry in body["entry"] for change in entry["changes"]]
    return not any(value.get(name) for value in values for name in ("statuses", "messages", "errors"))


def test_whatever_comes_is_stored_or_kept_and_never_raises(app: Connection) -> None:
    @given(anything)
    def deliver(body: object) -> None:
        with app.transaction(force_rollback=True):
            answer = ingest(app, body)
            row = app.execute(
                "SELECT (SELECT count(*) FROM message_status_logs), (SELECT count(*) FROM messages),"
                " (SELECT count(*) FROM headrace.webhook_reject)"
            ).fetchone()
            assert row is not None
            assert row[:2] == (answer["statuses"]["stored"], answer["messages"]["stored"])
            assert row[2] == len({json.dumps(item) for item in answer["rejected"]})
            assert sum(row) or says_nothing(body)

    deliver()


# --- bodies as the provider sends them, mutilated -------------------------------------------------------------------

REAL = {
    "object": "whatsapp_business_account",
    "entry": [
        *envelope(
            {
                "messaging_product": "whatsapp",
                "contacts": [{"profile": {"name": "x"}, "wa_id": "4917", "user_id": "US.1"}],
                "messages": [
                    message("m1", context={"id": "wamid.1", "from": "100"}),
                    message("m2", type="reaction", reaction={"message_id": "wamid.1", "emoji": "x"}),
                    message("m3", "", from_user_id="US.1", type="button", button={"text": "yes"}),
                    message("m4", type="system", system={"type": "user_changed_number"}),
                ],
            },
            {
                "statuses": [
                    status("wamid.1", "sent", pricing={"billable": True}),
                    status("wamid.1", "failed", errors=[{"code": 131053}], recipient_user_id="US.1"),
                    status("wamid.call", type="call"),
                ],
                "errors": [{"code": 130429}],
            },
            number="100",
        )["entry"],
        {"id": "2", "changes": [{"field": "history", "value": {"messages": [message("old")]}}]},
    ],
}
LONG = "".join(map(chr, range(0x4E00, 0x4E00 + 4000)))
INSTEAD = [
    None,
    True,
    0,
    -1,
    1e300,
    "",
    "x",
    "1700000000",
    "9" * 10,
    "9" * 40,
    LONG,
    "\x1b[2J",
    [],
    [[]],
    {},
    {"id": ""},
]


def places(value: object) -> list[tuple[Any, Any]]:
    """Every place in a body, as its container and the key there."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *places(value[key])]
    return found


@st.composite
def mutilated(draw: st.DrawFn) -> dict[str, Any]:
    """A body in which up to four places are removed, replaced or duplicated."""
    body = copy.deepcopy(REAL)
    for _ in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from(places(body)))
        what = draw(st.sampled_from(["gone", "replaced", "twice"]))
        if what == "gone":
            del container[key]
        elif what == "replaced":
            container[key] = copy.deepcopy(draw(st.sampled_from(INSTEAD)))
        elif isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        else:
            container[f"{key} again"] = copy.deepcopy(container[key])
        if not places(body):
            break
    return body


def items(body: dict[str, Any], name: str) -> int:
    """How many items of this name are in envelopes of the field messages."""
    count = 0
    if not isinstance(body.get("entry"), list) or body.get("object") not in (
        None,
        "whatsapp_business_account",
    ):
        return 0
    for entry in body["entry"]:
        changes = entry.get("changes") if isinstance(entry, dict) else None
        for change in changes if isinstance(changes, list) else []:
            value = change.get("value") if isinstance(change, dict) else None
            if (
                isinstance(value, dict)
                and change.get("field") in (None, "messages")
                and isinstance(value.get(name), list)
            ):
                count += len(value[name])
    return count


def test_of_a_mutilated_body_every_item_is_accounted_for(app: Connection) -> None:
    app.execute("""
        ALTER TABLE messages ADD CHECK (user_phone <> 'x');
        ALTER TABLE message_status_logs ADD CHECK (status <> 'x');
        CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RETURN CASE WHEN NEW.whatsapp_message_id LIKE '9%' THEN NULL ELSE NEW END; END $$;
        CREATE TRIGGER leave_out BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION leave_out()""")

    @given(mutilated())
    def deliver(body: dict[str, Any]) -> None:
        with app.transaction(force_rollback=True):
            answer = ingest(app, body)
            for name in ("statuses", "messages"):
                refused = [
                    r
                    for r in answer["rejected"]
                    if f".value.{name}[" in r["path"] and r["path"].startswith("entry[")
                ]
                assert sum(answer[name].values()) + len(refused) == items(body, name), (answer, body)
                assert all(count >= 0 for count in answer[name].values())
            assert all(0 < len(r["reason"]) <= 500 for r in answer["rejected"])
            kept = app.execute(
                "SELECT count(*), coalesce(sum(times), 0) FROM headrace.webhook_reject"
            ).fetchone()
            assert (kept or (0,))[0] == 0 if not answer["rejected"] else kept is not None and kept[0] > 0
            stored = app.execute(
                "SELECT (SELECT count(*) FROM message_status_logs), (SELECT count(*) FROM messages)"
            ).fetchone()
            assert stored == (answer["statuses"]["stored"], answer["messages"]["stored"])
            again = ingest(app, body)
            assert all(again[name]["stored"] == 0 for name in ("statuses", "messages"))

    deliver()
