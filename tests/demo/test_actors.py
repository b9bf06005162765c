"""What the simulated application decides, without a database: rates, kinds, and that it acts only on what it made."""

from __future__ import annotations

import pickle
import random
import statistics
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.demo.campaign_stats.actions import (
    Action,
    Campaign,
    CampaignDeleted,
    CampaignMade,
    IdStored,
    Message,
    MessageCame,
    MessageSent,
    MessagesImported,
    MessagesQueued,
    Status,
    WebhookCame,
    message_body,
    status_body,
)
from orchestration.demo.campaign_stats.actors import (
    INVENTED,
    REPLY_WINDOW,
    SHARES,
    Application,
    cast,
    next_arrival,
)

NOW = 1_780_000_000.0
RATE = 100.0
# What the simulator promises to do. Repeated here, because people read `kind`.
PROMISED = {
    *("campaign made", "campaign scheduled", "campaign running", "campaign paused", "campaign completed"),
    *("campaign deleted", "messages queued", "messages imported", "message sent", "message failed"),
    *("message id stored late", "webhook", "webhook, raw", "reply", "reply stored late"),
    *("reply to an imported message", "reply by reference", "reply with an unknown reference"),
    *("message from a stranger", "message by hand", "edit of template_name", "edit of user_phone"),
    *("edit of status", "edit of a logged status", "queue row deleted", "logged status deleted"),
}


def an_application(seed: int) -> Application:
    """An application that gives the same ids every time."""
    ids = random.Random(f"ids {seed}")
    return Application(
        random.Random(seed), "Simulated test", lambda: uuid.UUID(int=ids.getrandbits(128), version=4)
    )


def play(
    application: Application, events: int, seed: int, start: float = NOW, failures: float = 0.0
) -> Iterator[Action]:
    """Decides this number of events, of which the given share is not committed; yields those that are."""
    chance = random.Random(f"play {seed}")
    roles, weights = list(SHARES), list(SHARES.values())
    now = start
    for _ in range(events):
        now = next_arrival(now, RATE, chance)
        action = application.decide(chance.choices(roles, weights)[0], now)
        if chance.random() < failures:
            application.undone(action)
        else:
            application.happened(action, now)
            yield action


@given(rate=st.floats(0.01, 5000))
def test_a_rate_is_split_over_actors_of_every_role_without_a_rest(rate: float) -> None:
    actors = cast(rate)

    assert sum(actor.rate for actor in actors) == pytest.approx(rate)
    assert {actor.role for actor in actors} == set(SHARES)
    assert len(set(actors)) == len(actors)
    for role, share in SHARES.items():
        assert sum(actor.rate for actor in actors if actor.role == role) == pytest.approx(rate * share)


def test_at_300_events_a_second_no_actor_has_more_than_it_can_keep_up_with() -> None:
    assert max(actor.rate for actor in cast(300)) <= 40
    assert len(cast(5000)) < 60, "an ordinary server has 100 connections"


@pytest.mark.parametrize("rate", [0.5, 40.0])
def test_arrivals_are_those_of_a_poisson_process(rate: float) -> None:
    rng = random.Random(5)
    intervals = [next_arrival(0.0, rate, rng) for _ in range(40_000)]

    # Mean and deviation of an exponential distribution are equal; for 40,000 intervals both are within 0.5 %.
    assert statistics.fmean(intervals) == pytest.approx(1 / rate, rel=0.02)
    assert statistics.pstdev(intervals) == pytest.approx(1 / rate, rel=0.03)
    assert min(intervals) >= 0


@pytest.mark.parametrize("seed", range(3))
def test_everything_it_promises_happens_and_nothing_else(seed: int) -> None:
    application = an_application(seed)
    application.intake = True

    assert {action.kind for action in play(application, 25_000, seed)} == PROMISED


def test_without_an_intake_no_webhook_is_raw() -> None:
    kinds = {action.kind for action in play(an_application(1), 5_000, 1)}

    assert "webhook" in kinds
    assert "webhook, raw" not in kinds


@given(seed=st.integers(0, 10_000), failures=st.sampled_from([0.0, 0.05, 0.5]))
def test_it_names_nothing_but_what_it_made_itself(seed: int, failures: float) -> None:
    made: set[uuid.UUID] = set()
    deleted: set[uuid.UUID] = set()
    rows: set[uuid.UUID] = set()
    for action in play(an_application(seed), 1_500, seed, failures=failures):
        match action:
            case CampaignMade(campaign=campaign):
                assert campaign.name.startswith("Simulated test ")
                made.add(campaign.id)
            case (
                MessagesQueued(campaign=campaign, messages=messages)
                | MessagesImported(campaign=campaign, messages=messages)
            ):
                assert campaign.id in made - deleted
                rows |= {message.id for message in messages}
            case CampaignDeleted(campaign=campaign):
                assert campaign.id in made - deleted
                assert campaign.queued <= 60
                deleted.add(campaign.id)
            case _:
                campaign_named: Campaign | None = getattr(action, "campaign", None)
                assert campaign_named is None or campaign_named.id in made
                message: Message | None = getattr(action, "message", None)
                assert message is None or message.id in rows


@pytest.mark.parametrize("failures", [0.0, 0.3])
def test_a_queue_row_is_sent_once_and_again_only_if_that_was_not_committed(failures: float) -> None:
    sent = Counter(
        action.message.id
        for action in play(an_application(4), 20_000, 4, failures=failures)
        if isinstance(action, MessageSent)
    )

    assert len(sent) > 3_000
    assert set(sent.values()) == {1}


def test_nothing_is_sent_or_queued_for_a_campaign_that_does_not_run() -> None:
    for action in play(an_application(5), 10_000, 5):
        if isinstance(action, MessagesQueued):
            assert action.campaign.status == "running"
        if isinstance(action, MessageSent):
            assert action.message.campaign.status == "running"


def webhooks(seed: int, events: int = 20_000) -> list[Status]:
    application = an_application(seed)
    application.intake = True
    return [
        status
        for action in play(application, events, seed)
        if isinstance(action, WebhookCame)
        for status in action.statuses
    ]


def test_webhooks_come_late_twice_out_of_order_invented_and_for_messages_nobody_knows() -> None:
    statuses = webhooks(6)
    remarks = Counter(status.remark for status in statuses)
    by_message: dict[str, list[str]] = {}
    for status in statuses:
        by_message.setdefault(status.wamid, []).append(status.status)

    assert {"late", "repeated", "unknown id", "malformed", ""} == remarks.keys()
    assert {status.status for status in statuses} == {
        "sent",
        "delivered",
        "read",
        "played",
        "failed",
        *INVENTED,
    }
    assert any(
        "read" in names and "delivered" in names[names.index("read") :] for names in by_message.values()
    ), "delivered after read"
    assert any(
        "failed" in names and "delivered" in names[names.index("failed") :] for names in by_message.values()
    ), "delivered after failed"
    assert any("read" in names and "delivered" not in names for names in by_message.values())
    assert any(len(names) > len(set(names)) for names in by_message.values())
    assert all(status.at == int(status.at) for status in statuses), "the provider counts whole seconds"


def test_an_id_is_stored_late_only_after_a_webhook_with_it() -> None:
    seen: set[str] = set()
    late = 0
    for action in play(an_application(7), 20_000, 7):
        if isinstance(action, WebhookCame):
            seen |= {status.wamid for status in action.statuses}
        if isinstance(action, IdStored):
            late += 1
            assert action.message.wamid in seen
    assert late > 50


def test_some_replies_come_after_the_window_of_their_message() -> None:
    sent: dict[str, float] = {}
    outside = 0
    for action in play(an_application(8), 25_000, 8):
        if isinstance(action, MessagesImported):
            sent |= {message.phone: at for message, at in zip(action.messages, action.sent_at, strict=True)}
        if isinstance(action, MessageCame) and action.kind == "reply to an imported message":
            outside += action.at - sent[action.phone] > REPLY_WINDOW
    assert outside > 3


def test_webhooks_keep_up_with_what_is_sent() -> None:
    statuses = webhooks(9, 60_000)
    late = [status for status in statuses if status.remark in ("late", "repeated")]

    # At 100 events a second for 10 minutes, only those that were meant to be late come late.
    assert len(late) / len(statuses) == pytest.approx(0.15, abs=0.05)
    assert sum(status.status == "delivered" for status in statuses) > 0.8 * sum(
        status.status == "sent" for status in statuses
    )


def test_its_memory_does_not_grow_with_time() -> None:
    application = Application(random.Random(10), "Simulated")
    sizes = []
    for part in range(3):
        for _ in play(application, 50_000, part, start=NOW + part * 50_000 / RATE):
            pass
        counters = ("_numbers", "_ticket")
        memory = {name: value for name, value in vars(application).items() if name not in counters}
        sizes.append(len(pickle.dumps(memory)))

    assert sizes[2] < 1.2 * sizes[1]


def test_the_same_seed_decides_the_same() -> None:
    first, second = (list(play(an_application(11), 3_000, 11)) for _ in range(2))

    assert [repr(action) for action in first] == [repr(action) for action in second]
    assert [action.kind for action in first] != [
        action.kind for action in play(an_application(12), 3_000, 12)
    ]


def test_a_webhook_body_has_a_change_for_each_number_and_leaves_out_a_malformed_items_id() -> None:
    statuses = [
        Status("wamid.1", "delivered", 1_780_000_000.0, "999500000001", "n1"),
        Status("wamid.2", "failed", 1_780_000_001.0, "999500000002", "n2"),
        Status("wamid.3", "read", 1_780_000_002.0, "999500000003", "n1", "malformed"),
    ]

    body = status_body(statuses)

    assert body["object"] == "whatsapp_business_account"
    first, second = (change["value"] for change in body["entry"][0]["changes"])
    assert first["metadata"]["phone_number_id"] == "n1"
    assert first["statuses"] == [
        {
            "id": "wamid.1",
            "status": "delivered",
            "timestamp": "1780000000",
            "recipient_id": "999500000001",
        },
        {"status": "read", "timestamp": "1780000002", "recipient_id": "999500000003"},
    ]
    assert second["metadata"]["phone_number_id"] == "n2"
    assert [item["errors"][0]["code"] for item in second["statuses"]] == [131026]


def test_a_message_body_names_what_it_answers() -> None:
    came = MessageCame(
        uuid.UUID(int=1), "wamid.9", "999500000001", "n1", "incoming", 1_780_000_000.9, "wamid.1", "reply"
    )

    (change,) = message_body(came)["entry"][0]["changes"]

    assert change["field"] == "messages"
    assert change["value"]["messages"] == [
        {
            "from": "999500000001",
            "id": "wamid.9",
            "timestamp": "1780000000",
            "type": "text",
            "text": {"body": "Thank you"},
            "context": {"id": "wamid.1"},
        }
    ]
