"""Who acts in the simulated application, how often, and what each does next: decisions only, nothing is written.

An `Application` knows what it made itself and acts only on that; it never touches rows of others. Its memory is bounded, so
that it can run for days.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from orchestration.demo.campaign_stats.actions import (
    Action,
    Campaign,
    CampaignDeleted,
    CampaignMade,
    CampaignMoved,
    IdStored,
    LogDeleted,
    LogEdited,
    Message,
    MessageCame,
    MessageSent,
    MessagesImported,
    MessagesQueued,
    RowDeleted,
    RowEdited,
    Status,
    WebhookCame,
)

Role = Literal["planner", "sender", "provider", "people", "editor"]

# Share of all events. Each sent message leads to about three statuses, of which a webhook brings one or two.
SHARES: Mapping[Role, float] = {
    "planner": 0.05,
    "sender": 0.27,
    "provider": 0.54,
    "people": 0.09,
    "editor": 0.05,
}
_EVENTS_PER_ACTOR = 40.0  # a second: leaves 25 ms for a transaction
_ACTORS_PER_ROLE = 12

TEMPLATES = ("spring_offer_v2", "cart_reminder", "order_update", "event_invitation", "survey_short")
INVENTED = ("deleted", "warning")
NUMBERS = ("100000000000008", "100000000000009")
REPLY_WINDOW = 7 * 86_400.0

_OPEN_CAMPAIGNS = 3
_PEOPLE, _PEOPLE_OF_OLD = 3_000, 200
_LONG_QUEUE = 100  # rows waiting; from here on the sender catches up
_SMALL = 60  # queue rows; a campaign this small may be deleted whole
_REMEMBERED = 5_000  # messages that may still be answered, edited or deleted
_REMEMBERED_CAMPAIGNS = 50
_MOST_EXPECTED = 100_000  # webhooks to come
_BEHIND_SECONDS = 5.0  # from here on the provider puts more into a webhook


@dataclass(frozen=True)
class Actor:
    """A share of a role that fits one connection: `rate` events a second."""

    role: Role
    number: int
    rate: float


def cast(rate: float) -> tuple[Actor, ...]:
    """Splits `rate` events a second over actors; a role gets several if one could not keep up."""
    actors = []
    for role, share in SHARES.items():
        count = min(max(math.ceil(rate * share / _EVENTS_PER_ACTOR), 1), _ACTORS_PER_ROLE)
        actors += [Actor(role, number, rate * share / count) for number in range(count)]
    return tuple(actors)


def next_arrival(after: float, rate: float, rng: random.Random) -> float:
    """The time of the next event of a Poisson process with `rate` events a second."""
    return after + rng.expovariate(rate)


class Application:
    """The application as its simulator knows it.

    `decide` says what happens next. Call `happened` once that is committed, `undone` if it is not, or perhaps is not.

    Args:
        label: part of the name of every campaign it makes.
        new_id: returns ids that no other simulator uses.
    """

    def __init__(self, rng: random.Random, label: str, new_id: Callable[[], UUID] = uuid.uuid4) -> None:
        self.intake = False  # whether raw webhooks can be taken in
        self.campaigns: dict[UUID, Campaign] = {}
        self._rng = rng
        self._label = label
        self._new_id = new_id
        self._numbers = itertools.count(1)
        self._queued: deque[Message] = deque()
        self._sent: deque[Message] = deque(maxlen=_REMEMBERED)
        self._imported: deque[Message] = deque(maxlen=_REMEMBERED_CAMPAIGNS)
        self._without_id: dict[str, Message] = {}  # by wamid: sent, but the id is not stored yet
        self._ids_to_store: deque[Message] = deque()
        self._expected: list[tuple[float, int, Status]] = []  # time of arrival, a tie-breaker, the status
        self._last: Status | None = None
        self._ticket = itertools.count()

    def decide(self, role: Role, now: float) -> Action:
        """What an actor of this role does now; there is always something."""
        match role:
            case "planner":
                return self._plan(now)
            case "sender":
                return self._send(now)
            case "provider":
                return self._deliver(now)
            case "people":
                return self._write(now)
            case "editor":
                return self._edit(now)

    def open_campaigns(self) -> list[Campaign]:
        return [campaign for campaign in self.campaigns.values() if campaign.status != "completed"]

    # --- what became of it --------------------------------------------------------------------------------

    def happened(self, action: Action, now: float) -> None:
        match action:
            case CampaignMade(campaign=campaign):
                self.campaigns[campaign.id] = campaign
            case CampaignMoved(campaign=campaign, status=new_status) if campaign.status != "deleted":
                campaign.status = new_status
                self._forget_old_campaigns()
            case MessagesQueued(campaign=campaign, messages=messages) if campaign.status != "deleted":
                self._queued.extend(messages)
            case MessagesImported(messages=messages):
                self._imported.extend(messages)
                for message in messages[::3]:
                    self._expect(message, "read", now, now + self._rng.expovariate(0.2))
            case MessageSent(message=message):
                message.campaign.waiting -= 1
                self._sent.append(message)
                if action.accepted:
                    if not action.stores_id:
                        self._without_id[message.wamid] = message
                        if len(self._without_id) > _REMEMBERED:
                            del self._without_id[next(iter(self._without_id))]
                    self._expect_fate(message, now)
            case WebhookCame(statuses=statuses):
                for status in statuses:
                    if (message_without := self._without_id.pop(status.wamid, None)) is not None:
                        self._ids_to_store.append(message_without)

    def undone(self, action: Action) -> None:
        """Puts back what the action took: the sender sends again, the provider delivers again."""
        match action:
            case (
                MessagesQueued(campaign=campaign, messages=messages)
                | MessagesImported(campaign=campaign, messages=messages)
            ):
                campaign.queued -= len(messages)
                if isinstance(action, MessagesQueued):
                    campaign.waiting -= len(messages)
            case CampaignDeleted(campaign=campaign):
                # Its messages are forgotten; what is left of the campaign is completed when its turn comes.
                campaign.status, campaign.queued, campaign.waiting = "running", campaign.size, 0
                self.campaigns[campaign.id] = campaign
            case MessageSent(message=message) if message.campaign.status != "deleted":
                self._queued.append(message)
            case IdStored(message=message):
                self._ids_to_store.append(message)
            case WebhookCame(statuses=statuses):
                for status in statuses:
                    heapq.heappush(self._expected, (status.at, next(self._ticket), status))

    # --- the planner: campaigns ---------------------------------------------------------------------------

    def _plan(self, now: float) -> Action:
        rng = self._rng
        for campaign in self.open_campaigns():
            if campaign.status == "draft":
                return CampaignMoved(campaign, "scheduled", now)
            if campaign.status == "scheduled" or (campaign.status == "paused" and rng.random() < 0.5):
                return CampaignMoved(campaign, "running", now)
            if campaign.status == "running" and campaign.queued >= campaign.size and campaign.waiting <= 0:
                return CampaignMoved(campaign, "completed", now)
        running = [campaign for campaign in self.campaigns.values() if campaign.status == "running"]
        if running and rng.random() < 0.03:
            return CampaignMoved(rng.choice(running), "paused", now)
        small = [c for c in self.campaigns.values() if 0 < c.queued <= _SMALL]
        if len(self.campaigns) > 2 and small and rng.random() < 0.03:
            return self._delete(rng.choice(small))
        unfinished = [campaign for campaign in running if campaign.queued < campaign.size]
        if not unfinished or len(self.open_campaigns()) < _OPEN_CAMPAIGNS:
            return self._make()
        return self._queue(min(unfinished, key=lambda campaign: campaign.waiting), now)

    def _make(self) -> CampaignMade:
        rng = self._rng
        size = int(min(max(rng.lognormvariate(math.log(80), 0.9), 8), 600))
        templates = tuple(rng.sample(TEMPLATES, rng.randint(2, 4)))
        contacts = [(self._phone(), rng.choice(templates)) for _ in range(size)]
        name = f"{self._label} {next(self._numbers)}"
        campaign = Campaign(self._new_id(), name, tuple(contacts))
        return CampaignMade(campaign, tuple((self._new_id(), *contact) for contact in contacts))

    def _queue(self, campaign: Campaign, now: float) -> MessagesQueued | MessagesImported:
        rng = self._rng
        rows = rng.randint(1, 25 if len(self._queued) < _LONG_QUEUE else 3)
        contacts = campaign.contacts[campaign.queued : campaign.queued + rows]
        campaign.queued += len(contacts)
        if rng.random() < 0.04:
            people = [_phone_of(_PEOPLE + rng.randrange(_PEOPLE_OF_OLD)) for _ in contacts]
            messages = [
                self._message(campaign, phone, template)
                for phone, (_, template) in zip(people, contacts, strict=True)
            ]
            times = [now - REPLY_WINDOW - rng.uniform(-1, 2) * 86_400 for _ in contacts]
            return MessagesImported(campaign, tuple(messages), tuple(times))
        campaign.waiting += len(contacts)
        hold = rng.uniform(0.1, 0.7) if rng.random() < 0.03 else 0.0
        return MessagesQueued(campaign, tuple(self._message(campaign, *c) for c in contacts), hold)

    def _delete(self, campaign: Campaign) -> CampaignDeleted:
        campaign.status = "deleted"
        self.campaigns.pop(campaign.id, None)
        self._queued = deque(message for message in self._queued if message.campaign is not campaign)
        return CampaignDeleted(campaign)

    def _forget_old_campaigns(self) -> None:
        completed = [key for key, campaign in self.campaigns.items() if campaign.status == "completed"]
        for key in completed[:-_REMEMBERED_CAMPAIGNS]:
            del self.campaigns[key]

    # --- the sender ---------------------------------------------------------------------------------------

    def _send(self, now: float) -> Action:
        rng = self._rng
        if self._ids_to_store and rng.random() < 0.5:
            return IdStored(self._ids_to_store.popleft())
        for _ in range(len(self._queued)):
            message = self._queued.popleft()
            if message.campaign.status == "paused":
                self._queued.append(message)
                continue
            if rng.random() < 0.05:
                # The provider had accepted some of what the application gave up on.
                accepted = rng.random() < 0.2
                return MessageSent(message, "failed", accepted, stores_id=accepted, sent_at=None)
            stores_id = rng.random() >= 0.05
            sent_at = None if rng.random() < 0.02 else now
            return MessageSent(message, "sent", accepted=True, stores_id=stores_id, sent_at=sent_at)
        return self._plan(now)

    # --- the provider -------------------------------------------------------------------------------------

    def _expect_fate(self, message: Message, now: float) -> None:
        rng = self._rng
        delivered = rng.random() < 0.92
        read = delivered and rng.random() < 0.6
        delivered_at = now + rng.lognormvariate(math.log(3), 1.0)
        read_at = delivered_at + rng.lognormvariate(math.log(15), 1.2)
        if rng.random() < 0.97:
            self._expect(message, "sent", now, now + rng.expovariate(1.0))
        if not delivered and rng.random() < 0.6:
            self._expect(message, "failed", now, now + rng.expovariate(0.2))
        if delivered and rng.random() < 0.01:  # failed, but delivered after all
            self._expect(message, "failed", now, now + (delivered_at - now) / 2)
        if delivered and not (read and rng.random() < 0.05):  # left out if read follows
            self._expect(message, "delivered", now, delivered_at)
        if read:
            self._expect(message, "read", now, read_at)
            if rng.random() < 0.03:
                self._expect(message, "played", now, read_at + rng.expovariate(0.1))
        if rng.random() < 0.01:
            self._expect(message, rng.choice(INVENTED), now, now + rng.expovariate(0.05))

    def _expect(self, message: Message, status: str, now: float, at: float) -> None:
        """Schedules this status: soon after it happened, or so late that a later one overtakes it, or twice."""
        if len(self._expected) >= _MOST_EXPECTED:
            return
        rng = self._rng
        came = Status(message.wamid, status, at, message.phone, message.number)
        due = at + rng.expovariate(3.0)
        if rng.random() < 0.08:
            came = replace(came, remark="late")
            due += rng.expovariate(1 / 40)
        heapq.heappush(self._expected, (due, next(self._ticket), came))
        if rng.random() < 0.07:
            again = due + (0.0 if rng.random() < 0.4 else rng.expovariate(1 / 60))
            heapq.heappush(self._expected, (again, next(self._ticket), replace(came, remark="repeated")))

    def _deliver(self, now: float) -> WebhookCame:
        rng, expected = self._rng, self._expected
        raw = self.intake and rng.random() < 0.5
        behind = bool(expected) and expected[0][0] < now - _BEHIND_SECONDS
        most = 20 if behind else rng.choice((1, 1, 1, 2, 3))
        statuses: list[Status] = []
        while expected and len(statuses) < most and expected[0][0] <= now:
            statuses.append(heapq.heappop(expected)[2])
        if not statuses and expected:
            statuses.append(heapq.heappop(expected)[2])  # the provider is quick
        if not statuses and self._last is not None:
            statuses.append(replace(self._last, remark="repeated"))
        chance = rng.random()
        if not statuses or chance < 0.01:
            statuses.append(Status(self._wamid(), "delivered", now, self._phone(), NUMBERS[0], "unknown id"))
        elif raw and chance < 0.015:
            statuses.append(replace(statuses[0], remark="malformed"))
        self._last = statuses[0]
        return WebhookCame(
            tuple(replace(status, at=float(int(min(status.at, now)))) for status in statuses), raw
        )

    # --- the people who get messages ----------------------------------------------------------------------

    def _write(self, now: float) -> MessageCame:
        rng = self._rng
        chance = rng.random()
        target = rng.choice(self._sent) if self._sent else None
        kind, at, reference = "reply", now, None
        direction: Literal["incoming", "outgoing"] = "incoming"
        if target is None or chance < 0.04:
            kind, target = "message from a stranger", None
        elif chance < 0.14:
            kind, at = "reply stored late", now - rng.expovariate(1 / 120)
        elif chance < 0.18 and self._imported:
            kind, target = "reply to an imported message", rng.choice(self._imported)
        elif chance < 0.26:
            kind, reference = "reply by reference", target.wamid
        elif chance < 0.29:
            kind, reference = "reply with an unknown reference", self._wamid()
        elif chance < 0.37:
            kind, direction = "message by hand", "outgoing"
        return MessageCame(
            id=self._new_id(),
            wamid=self._wamid(),
            phone=target.phone if target else _phone_of(900_000 + rng.randrange(90_000)),
            number=target.number if target else NUMBERS[0],
            direction=direction,
            at=at,
            reference=reference,
            kind=kind,
            raw=self.intake and direction == "incoming" and rng.random() < 0.5,
        )

    # --- the editor ---------------------------------------------------------------------------------------

    def _edit(self, now: float) -> Action:
        rng = self._rng
        if not self._sent:
            return self._plan(now)
        message = rng.choice(self._sent)
        chance = rng.random()
        if chance < 0.35:
            return RowEdited(message, "template_name", rng.choice(TEMPLATES))
        if chance < 0.55:
            return RowEdited(message, "user_phone", self._phone())
        if chance < 0.70:
            return RowEdited(message, "status", rng.choice(("sent", "failed", "queued")))
        if chance < 0.80:
            return LogEdited(message, rng.choice(("sent", "delivered", "read", "failed")))
        return RowDeleted(message) if chance < 0.92 else LogDeleted(message)

    # --- values -------------------------------------------------------------------------------------------

    def _message(self, campaign: Campaign, phone: str, template: str) -> Message:
        number = NUMBERS[0] if self._rng.random() < 0.9 else NUMBERS[1]
        return Message(self._new_id(), campaign, phone, number, template, self._wamid())

    def _phone(self) -> str:
        return _phone_of(self._rng.randrange(_PEOPLE))

    def _wamid(self) -> str:
        return f"wamid.{self._new_id().hex.upper()}"


def _phone_of(person: int) -> str:
    """A number under 999, a country code that nobody has, in the provider's notation."""
    return f"999500{person:06d}"
